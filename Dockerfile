# docker build --target execd -t execd .
#   /execd, /bootstrap.sh and busybox: the image that an OpenSandbox server takes both from (`execd_image`), or that any other
#   Dockerfile copies /execd from.
# docker build --target code-interpreter -t execd-code-interpreter .
#   A sandbox to be used as it is: execd on port 8080, one Python for shell, pip and kernel, Node, bash. As the user
#   `sandbox`; as root with `docker run --user 0`, or built so with --build-arg SANDBOX_USER=root.
# docker build --target browser -t execd-browser .
#   Chromium on a desktop, started at once; ports 8080, 5000 and 3000 as AgentRun's image has them. --shm-size is not needed.
# docker build --target all-in-one -t execd-all-in-one .
#   code-interpreter and browser in one; ports 8080 and 5000.
FROM debian:12 AS build
COPY scripts/deps scripts/common.sh scripts/libzmq.sh scripts/packages.txt scripts/python-requirements.txt /src/scripts/
WORKDIR /src
# The dependencies are a layer of their own: they change seldom.
RUN apt-get update && scripts/deps --no-python && rm -rf /var/lib/apt/lists/*
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
COPY --from=busybox /out /
COPY deploy/bootstrap.sh /bootstrap.sh
COPY --from=build /execd /execd
WORKDIR /
# The server's injector starts it with `tail -f /dev/null` appended, which execd ignores.
ENTRYPOINT ["./execd"]
ARG EXECD_COMMIT=
LABEL org.opencontainers.image.title="execd" \
      org.opencontainers.image.description="One daemon inside a sandbox: commands, sessions, code, files and ports over HTTP" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="$EXECD_COMMIT"

FROM debian:12 AS code-interpreter
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
# Arguments and what they change stand last: the layers above stay as they are.
ARG SANDBOX_USER=sandbox
USER $SANDBOX_USER
WORKDIR /home/sandbox
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["curl", "-fsS", "-o", "/dev/null", "http://127.0.0.1:8080/health"]
ENTRYPOINT ["execd"]
ARG EXECD_COMMIT=
LABEL org.opencontainers.image.title="execd code interpreter" \
      org.opencontainers.image.description="execd with Python, Node and bash" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="$EXECD_COMMIT"

# noVNC's files without the server, Node and Python that its package depends on.
FROM debian:12 AS novnc
RUN apt-get update && cd /tmp && apt-get download novnc && dpkg-deb -x novnc_*.deb /tmp/unpacked && mkdir -p /out && \
    cp -rL /tmp/unpacked/usr/share/novnc/core /tmp/unpacked/usr/share/novnc/vendor /out/ && \
    rm -rf /tmp/unpacked /tmp/novnc_*.deb /var/lib/apt/lists/*

FROM debian:12 AS browser
RUN apt-get update && apt-get install -y --no-install-recommends \
        bash ca-certificates chromium curl ffmpeg fonts-dejavu-core fonts-noto-color-emoji fonts-wqy-zenhei openbox procps \
        x11vnc xclip xdotool xvfb && \
    rm -rf /var/lib/apt/lists/* && useradd --create-home --shell /bin/bash sandbox && \
    mkdir -m 1777 /tmp/.X11-unix
COPY --from=novnc /out /usr/share/novnc
COPY --from=build /execd /usr/local/bin/execd
COPY deploy/bootstrap.sh /usr/local/bin/bootstrap.sh
ENV LANG=C.UTF-8 EXECD_BROWSER=boot EXECD_LISTEN=5000,3000
ARG SANDBOX_USER=sandbox
USER $SANDBOX_USER
WORKDIR /home/sandbox
EXPOSE 8080 5000 3000
# Ready is when a page is open and Chromium has answered.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["curl", "-fsS", "-o", "/dev/null", "http://127.0.0.1:8080/execd/v1/ready"]
ENTRYPOINT ["execd"]
ARG EXECD_COMMIT=
LABEL org.opencontainers.image.title="execd browser" \
      org.opencontainers.image.description="execd with Chromium on a desktop" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="$EXECD_COMMIT"

FROM code-interpreter AS all-in-one
USER root
RUN apt-get update && apt-get install -y --no-install-recommends \
        chromium ffmpeg fonts-dejavu-core fonts-noto-color-emoji fonts-wqy-zenhei openbox x11vnc xclip xdotool xvfb && \
    rm -rf /var/lib/apt/lists/* && mkdir -m 1777 /tmp/.X11-unix
COPY --from=novnc /out /usr/share/novnc
ENV EXECD_BROWSER=boot EXECD_LISTEN=5000
ARG SANDBOX_USER=sandbox
USER $SANDBOX_USER
EXPOSE 8080 5000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["curl", "-fsS", "-o", "/dev/null", "http://127.0.0.1:8080/execd/v1/ready"]
ARG EXECD_COMMIT=
LABEL org.opencontainers.image.title="execd all in one" \
      org.opencontainers.image.description="execd with Python, Node, bash, and Chromium on a desktop" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="$EXECD_COMMIT"
