# docker build --target execd -t execd .   An image that holds nothing but /execd, to copy into any other image.
FROM debian:12 AS build
COPY scripts/deps scripts/common.sh scripts/libzmq.sh scripts/packages.txt scripts/python-requirements.txt /src/scripts/
WORKDIR /src
# The dependencies are a layer of their own: they change seldom.
RUN scripts/deps --no-python && rm -rf /var/lib/apt/lists/*
COPY scripts scripts
COPY CMakeLists.txt CMakePresets.json ./
COPY cmake cmake
COPY base base
COPY shell shell
COPY kernels kernels
COPY fs fs
COPY browser_proxy browser_proxy
COPY execd execd
ARG EXECD_COMMIT=
RUN EXECD_COMMIT="$EXECD_COMMIT" scripts/build --no-python release execd && \
    scripts/check-binary && cp build/release/bin/execd /execd

FROM scratch AS execd
COPY --from=build /execd /execd
ENTRYPOINT ["/execd"]
