# docker build --target execd -t execd .
#   /execd, /bootstrap.sh and busybox: the image that an OpenSandbox server takes both from (`execd_image`), or that any other
#   Dockerfile copies /execd from.
# docker build --target code-interpreter -t execd-code-interpreter .
#   A sandbox to be used as it is: execd on port 8080, one Python for shell, pip and kernel, Node, bash. As the user
#   `sandbox`; as root with `docker run --user 0`, or built so with --build-arg SANDBOX_USER=root.
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

# What the server's init container runs: sh, cp, chmod, test; tail for its injector.
FROM debian:12 AS busybox
RUN apt-get update && apt-get install -y --no-install-recommends busybox-static && rm -rf /var/lib/apt/lists/* && \
    mkdir -p /out/bin /out/tmp && chmod 1777 /out/tmp && cp /bin/busybox /out/bin/busybox && \
    for name in $(/bin/busybox --list); do [ "$name" = busybox ] || ln -s busybox "/out/bin/$name"; done

FROM scratch AS execd
ARG EXECD_COMMIT=
LABEL org.opencontainers.image.title="execd" \
      org.opencontainers.image.description="One daemon inside a sandbox: commands, sessions, code, files and ports over HTTP" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="$EXECD_COMMIT"
COPY --from=busybox /out /
COPY deploy/bootstrap.sh /bootstrap.sh
COPY --from=build /execd /execd
WORKDIR /
# The server's injector starts it with `tail -f /dev/null` appended, which execd ignores.
ENTRYPOINT ["./execd"]

FROM debian:12 AS code-interpreter
ARG SANDBOX_USER=sandbox
ARG EXECD_COMMIT=
LABEL org.opencontainers.image.title="execd code interpreter" \
      org.opencontainers.image.description="execd with Python, Node and bash" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="$EXECD_COMMIT"
RUN apt-get update && apt-get install -y --no-install-recommends \
        bash ca-certificates curl git nodejs npm procps python3 python3-venv && \
    rm -rf /var/lib/apt/lists/* && useradd --create-home --shell /bin/bash sandbox
# The one Python: first on PATH for the shell, its pip, and the kernel. The sandbox's user may install into it.
COPY deploy/code-interpreter.txt /tmp/requirements.txt
RUN python3 -m venv /opt/python && /opt/python/bin/pip install --no-cache-dir -r /tmp/requirements.txt && \
    rm /tmp/requirements.txt && chown -R sandbox:sandbox /opt/python
COPY --from=build /execd /usr/local/bin/execd
COPY deploy/bootstrap.sh /usr/local/bin/bootstrap.sh
ENV PATH=/opt/python/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    VIRTUAL_ENV=/opt/python LANG=C.UTF-8 EXECD_PYTHON=/opt/python/bin/python3 EXECD_PREWARM=python
USER $SANDBOX_USER
WORKDIR /home/sandbox
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["curl", "-fsS", "-o", "/dev/null", "http://127.0.0.1:8080/health"]
ENTRYPOINT ["execd"]
