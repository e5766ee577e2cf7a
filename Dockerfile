# The image of regindexer: serves with the configuration at /etc/regindexer/config.yaml, and writes to the volume
# /var/lib/regindexer alone, so that its root file system can be read-only.

FROM node:24-bookworm-slim AS build
WORKDIR /build
# Dependencies before sources: a change of these does not install those again.
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
# Its own number, so that a volume can be given to it; no shell, no password, and nothing of /opt or /etc belongs to it.
RUN groupadd --gid 10001 regindexer \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/regindexer --shell /usr/sbin/nologin regindexer \
 && install --directory --owner=10001 --group=10001 --mode=750 /var/lib/regindexer \
 && install --directory /etc/regindexer \
 && ln -s /opt/regindexer/dist/cli.js /usr/local/bin/regindexer
ENV NODE_ENV=production
WORKDIR /opt/regindexer
# What changes least comes first.
COPY --from=dependencies /build/node_modules node_modules
COPY LICENSE package.json ./
COPY public public
COPY --from=build /build/dist dist
LABEL org.opencontainers.image.title="regindexer" \
      org.opencontainers.image.description="Reads container registries, indexes their images and icons, and serves the index to Flatpak clients" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="node:24-bookworm-slim"
# The number instead of the name: an orchestrator can then see that it is not root.
USER 10001:10001
VOLUME /var/lib/regindexer
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=6s --start-period=30s CMD ["regindexer", "health"]
# Node.js is process 1 itself, as `env` replaces itself with it: signals reach it, and its exit status is the container's.
ENTRYPOINT ["regindexer"]
CMD ["serve"]
