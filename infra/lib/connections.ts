/** What the server is given by the constructs that it depends on. */
import type { IDependable } from 'constructs';

/** How the database is reached. */
export interface DatabaseConnection {
  readonly host: string;
  readonly port: number;
  /** What signs the certificate of the database, as PEM. */
  readonly certificates: string;
  readonly database: string;
  /** The role that the server connects as. */
  readonly role: string;
  readonly passwordArn: string;
  /** Only the migration task uses the owner. */
  readonly owner: string;
  /** RDS keeps it as JSON, with the key `password`. */
  readonly ownerPasswordArn: string;
  /** Before these a task would connect in vain. */
  readonly ready: IDependable;
}

/** How Redis is reached. */
export interface RedisConnection {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly passwordArn: string;
  /** Before these a task would connect in vain. */
  readonly ready: IDependable;
}

/** How long a task that stops takes, in seconds: server.drain_delay, server.drain_timeout and server.shutdown_timeout. */
export interface Drain {
  readonly delay: number;
  readonly timeout: number;
  readonly shutdown: number;
}
