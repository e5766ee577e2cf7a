# The image of regindexer. It reads /etc/regindexer/config.yaml and writes only to the volume /var/lib/regindexer, so its root
# file system can be read-only.

FROM node:24-bookworm-slim AS build
WORKDIR /build
# Dependencies before sources, so that a change of the sources does not install them again.
COPY package.json package-lock.json ./
RUN --mount=type=cache,target=/root/.npm npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json rolldown.config.ts ./
COPY src src
RUN npm run -s build && chmod 755 dist/cli.js

FROM node:24-bookworm-slim AS dependencies
WORKDIR /build
COPY package.json package-lock.json ./
RUN --mount=type=cache,target=/root/.npm npm ci --omit=dev --ignore-scripts --no-audit --no-fund

FROM node:24-bookworm-slim
# A fixed user id, so that a volume can belong to it; no shell, no password, and no file in /opt or /etc is its own.
RUN groupadd --gid 10001 regindexer \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/regindexer --shell /usr/sbin/nologin regindexer \
 && install --directory --owner=10001 --group=10001 --mode=750 /var/lib/regindexer \
 && install --directory /etc/regindexer \
 && ln -s /opt/regindexer/dist/cli.js /usr/local/bin/regindexer
# What a configuration need not say here: where the state is, and that clients are outside of the container.
ENV NODE_ENV=production REGINDEXER_STATE_DIR=/var/lib/regindexer REGINDEXER_HOST=0.0.0.0
WORKDIR /opt/regindexer
# Layers that change least come first.
COPY --from=dependencies /build/node_modules node_modules
COPY LICENSE package.json ./
COPY public public
COPY --from=build /build/dist dist
LABEL org.opencontainers.image.title="regindexer" \
      org.opencontainers.image.description="Reads container registries, indexes their images and icons, and serves the index to Flatpak clients" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="node:24-bookworm-slim"
# The number, so that an orchestrator can see that it is not root.
USER 10001:10001
VOLUME /var/lib/regindexer
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=6s --start-period=30s CMD ["regindexer", "health"]
# Node.js is process 1, since `env` executes it: it gets the signals, and its exit status is the container's.
ENTRYPOINT ["regindexer"]
CMD ["serve"]
