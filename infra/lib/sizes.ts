/** What each size means: terraform/sizes.json, in the words of the constructs. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CacheProps } from './cache';
import type { Capacity } from './database';
import type { ServiceProps } from './service';

/** A size in the file. */
interface FileSize {
  readonly task: {
    readonly cpu: number;
    readonly memory: number;
    readonly max_connections: number;
    readonly count: { readonly min: number; readonly max: number };
  };
  readonly database: Capacity;
  readonly node_type: string;
}

export interface Size {
  readonly task: Required<Pick<ServiceProps, 'cpu' | 'memory' | 'maxConnections' | 'tasks'>>;
  readonly database: Capacity;
  readonly cache: Required<Pick<CacheProps, 'nodeType'>>;
}

const FILE = JSON.parse(readFileSync(join(__dirname, '../../terraform/sizes.json'), 'utf8')) as Record<string, FileSize>;

export const SIZES = new Map(Object.entries(FILE).map(([name, size]) => [name, inWordsOfConstructs(size)]));

function inWordsOfConstructs({ task, database, node_type }: FileSize): Size {
  return {
    task: { cpu: task.cpu, memory: task.memory, maxConnections: task.max_connections, tasks: task.count },
    database,
    cache: { nodeType: node_type },
  };
}
