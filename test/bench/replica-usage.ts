/** What several replicas and their database use between two moments. */
import type { CountingProxy, Traffic } from './counting-proxy.ts';
import { cpuSeconds } from './process-usage.ts';
import type { DatabaseFigures, SharedDatabase } from './shared-service.ts';

/** A process that uses a shared database. */
export interface DatabaseUser {
  readonly pid: number;
  readonly proxy: CountingProxy;
}

/** What one replica used. */
export interface ReplicaUsage extends Traffic {
  /** Seconds. */
  readonly cpu: number;
}

/** What was used in all, or in some time. */
export interface SharedUsage {
  readonly leader: ReplicaUsage;
  /** The mean of all that do not lead. */
  readonly follower: ReplicaUsage;
  readonly database: DatabaseFigures;
}

export async function usageOf(
  leader: DatabaseUser,
  followers: readonly DatabaseUser[],
  database: SharedDatabase,
): Promise<SharedUsage> {
  const all = await Promise.all(followers.map(usageOfUser));
  const mean = (value: (usage: ReplicaUsage) => number): number =>
    all.reduce((sum, usage) => sum + value(usage), 0) / all.length;
  return {
    leader: await usageOfUser(leader),
    follower: {
      cpu: mean(({ cpu }) => cpu),
      roundTrips: mean(({ roundTrips }) => roundTrips),
      sent: mean(({ sent }) => sent),
      received: mean(({ received }) => received),
    },
    database: await database.figures(),
  };
}

/** What was used from `before` to `after`. */
export function usedBetween(before: SharedUsage, after: SharedUsage): SharedUsage {
  return {
    leader: difference(before.leader, after.leader),
    follower: difference(before.follower, after.follower),
    database: difference(before.database, after.database),
  };
}

async function usageOfUser({ pid, proxy }: DatabaseUser): Promise<ReplicaUsage> {
  return { cpu: await cpuSeconds(pid), ...proxy.traffic() };
}

function difference<T extends ReplicaUsage | DatabaseFigures>(before: T, after: T): T {
  return Object.fromEntries(
    Object.entries(after).map(([key, value]) => [key, Number(value) - Number(before[key as keyof T])]),
  ) as unknown as T;
}
