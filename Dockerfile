# syntax=docker/dockerfile:1
# Serves at port 8080 with the configuration at /etc/regindexer/config.yaml; state is in the volume /var/lib/regindexer.

FROM node:24-bookworm-slim AS build
WORKDIR /build
# Dependencies are installed before the sources are copied: a change of these does not install those again.
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts
COPY tsconfig.json ./
COPY src src
RUN npm run -s build

FROM node:24-bookworm-slim AS dependencies
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts

FROM node:24-bookworm-slim
LABEL org.opencontainers.image.title="regindexer" \
      org.opencontainers.image.description="Reads container registries, indexes their images and icons, and serves the index to Flatpak clients" \
      org.opencontainers.image.licenses="MIT"
ENV NODE_ENV=production
WORKDIR /opt/regindexer
COPY --from=dependencies /build/node_modules node_modules
COPY package.json LICENSE README.md ./
COPY public public
COPY --from=build /build/dist dist
RUN ln -s /opt/regindexer/dist/cli.js /usr/local/bin/regindexer && chmod +x dist/cli.js \
 && groupadd --system --gid 10001 regindexer && useradd --system --uid 10001 --gid 10001 --home-dir /var/lib/regindexer --shell /usr/sbin/nologin regindexer \
 && install -d -o regindexer -g regindexer /var/lib/regindexer /etc/regindexer
USER 10001:10001
VOLUME /var/lib/regindexer
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=6s --start-period=10s CMD ["node", "/opt/regindexer/dist/cli.js", "health"]
# Node is process 1 itself, so signals reach it and its exit status is the container's.
ENTRYPOINT ["node", "/opt/regindexer/dist/cli.js"]
CMD ["serve"]
