/** The kinds of notifications that are understood. */
import type { Sender } from './notification.ts';
import { acr } from './senders/acr.ts';
import { artifactory } from './senders/artifactory.ts';
import { distribution } from './senders/distribution.ts';
import { dockerHub } from './senders/docker-hub.ts';
import { gitea } from './senders/gitea.ts';
import { github } from './senders/github.ts';
import { harbor } from './senders/harbor.ts';
import { quay } from './senders/quay.ts';
import { zot } from './senders/zot.ts';

/** All senders; the first that recognises a notification parses it. */
export const SENDERS: readonly Sender[] = [
  distribution,
  acr,
  harbor,
  zot,
  quay,
  dockerHub,
  artifactory,
  // Before GitHub, whose headers they send, too.
  gitea,
  github,
];
