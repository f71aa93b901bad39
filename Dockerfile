# Realtime Server as an image: one program, the four libraries it is linked to, certificates, a starter
# configuration. No shell and no package manager, so nothing in it helps an intruder; it runs as a user without
# rights, needs no capability and writes to /var/lib/realtime alone, so its root may be read-only.
#
#     docker build -t realtime-server .                     compiles here; the libraries are a layer of their own
#     docker build -t realtime-server --target prebuilt .   takes dist/realtime-server, built on Debian 12 or older
#
# With `--build-arg REVISION="$(git rev-parse HEAD)"` the program and the image know which commit they are.
#
# Only two official images are needed, and no extension of this file's syntax: BuildKit and Buildah (Podman) read it
# as it is.

ARG RUST_VERSION=1.95

# The parts of Debian that the program needs: the loader, libc, libm and libgcc, the CA certificates, the names of
# two users. They are selected here, rather than taken from a third-party slim image, because this is short enough
# to review. Everything it copies is brought up to date
# first, and listed under /var/lib/dpkg/status.d, where scanners look for what might have to be patched. The link is
# for the migrations of the Realtime SDK: `docker exec … pnpm db:migrate`, `docker run --entrypoint pnpm … db:migrate`.
FROM debian:bookworm-slim AS root
# Versions are Debian's business: pinned, they would keep the holes that its updates close.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libc6 libgcc-s1 \
    && rm -rf /var/lib/apt/lists/* \
    && mkdir -p /rootfs/etc/ssl/certs /rootfs/etc/realtime /rootfs/var/lib/dpkg/status.d /rootfs/empty \
    && for package in ca-certificates libc6 libgcc-s1; do \
        dpkg -s "$package" >"/rootfs/var/lib/dpkg/status.d/$package" \
        && cp --parents "/usr/share/doc/$package/copyright" /rootfs \
        || exit 1; \
    done \
    && dpkg -L libc6 libgcc-s1 >/tmp/files \
    && grep -E '/(ld-linux[^/]*|lib(c|m|gcc_s))\.so\.[0-9]+$' /tmp/files >/tmp/libraries \
    && xargs -a /tmp/libraries cp -d --parents -t /rootfs \
    && cp /etc/ssl/certs/ca-certificates.crt /rootfs/etc/ssl/certs/ \
    && echo 'hosts: files dns' >/rootfs/etc/nsswitch.conf \
    && printf '%s\n' 'root:x:0:0::/:/' 'realtime:x:10001:10001::/var/lib/realtime:/' >/rootfs/etc/passwd \
    && printf '%s\n' 'root:x:0:' 'realtime:x:10001:' >/rootfs/etc/group \
    && mkdir -p /rootfs/usr/local/bin \
    && ln -s realtime-server /rootfs/usr/local/bin/pnpm

# Everything about the image but the program.
FROM scratch AS base
COPY --from=root /rootfs/ /
COPY --from=root --chown=10001:10001 /rootfs/empty/ /var/lib/realtime/
COPY LICENSE /usr/share/doc/realtime-server/copyright
COPY config/production.toml /etc/realtime/config.toml
COPY config/schema.json /etc/realtime/schema.json
ENV PATH=/usr/local/bin
# By number, so that Kubernetes can see that it is not root.
USER 10001:10001
WORKDIR /var/lib/realtime
VOLUME /var/lib/realtime
EXPOSE 8080
# The server goes on for a moment, sends its clients away one by one, and leaves.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["realtime-server", "health"]
ENTRYPOINT ["realtime-server"]
CMD ["serve"]
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="Realtime Server" \
      org.opencontainers.image.description="Rooms for applications: broadcast and presence over WebSocket and HTTP" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# A program that was compiled elsewhere, such as by continuous integration for its tests.
FROM base AS prebuilt
ARG BINARY=dist/realtime-server
COPY --chmod=0755 ${BINARY} /usr/local/bin/realtime-server

# The workspace without our code: manifests, and a stub where each of them expects a source. It changes only
# when they do, and so does everything copied from here.
FROM debian:bookworm-slim AS manifests
WORKDIR /workspace
COPY . .
RUN find . -type f ! -name Cargo.toml ! -name Cargo.lock ! -path './.cargo/*' -delete \
    && find . -type d -empty -delete \
    && find server tests -name Cargo.toml -printf '%h/src/lib.rs\n' >/tmp/stubs \
    && grep -r --include=Cargo.toml '^path = ".*\.rs"' server tests >/tmp/targets \
    && sed 's|Cargo.toml:path = "\(.*\)"|\1|' /tmp/targets >>/tmp/stubs \
    && echo server/src/main.rs >>/tmp/stubs \
    && while read -r stub; do \
        mkdir -p "$(dirname "$stub")" && echo 'fn main() {}' >"$stub" || exit 1; \
    done </tmp/stubs

# Every library we use, compiled. Built again only when a manifest, the lock file or the compiler changes.
FROM rust:${RUST_VERSION}-bookworm AS dependencies
WORKDIR /workspace
ENV CARGO_INCREMENTAL=0
COPY --from=manifests /workspace/ ./
RUN cargo build --release --locked -p realtime-server

# Our own code on top of them. Sources are touched, because cargo goes by their age, and they may well be older
# than the stubs that were compiled in their place. Line tables stay out: they are for a debugger, and as large
# as the program. Names of functions stay in, for the backtrace of a panic.
FROM dependencies AS build
COPY server server
ARG REVISION
RUN find server -name '*.rs' -exec touch {} + \
    && REALTIME_COMMIT="$REVISION" cargo build --release --locked -p realtime-server \
    && strip --strip-debug -o /realtime-server target/release/realtime-server

FROM base AS server
COPY --from=build /realtime-server /usr/local/bin/realtime-server
