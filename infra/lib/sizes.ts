/** What each size means, as in terraform/sizes.json. */
import type { SizeName } from './inputs';

export interface Size {
  readonly task: { readonly cpu: number; readonly memory: number; readonly maxConnections: number; readonly count: { readonly min: number; readonly max: number } };
  readonly database: { readonly min: number; readonly max: number };
  readonly nodeType: string;
}

export const SIZES: Record<SizeName, Size> = {
  small: {
    task: { cpu: 512, memory: 2048, maxConnections: 5000, count: { min: 2, max: 4 } },
    database: { min: 0.5, max: 2 },
    nodeType: 'cache.t4g.small',
  },
  medium: {
    task: { cpu: 1024, memory: 4096, maxConnections: 16384, count: { min: 2, max: 8 } },
    database: { min: 1, max: 8 },
    nodeType: 'cache.m7g.large',
  },
  large: {
    task: { cpu: 4096, memory: 16384, maxConnections: 40000, count: { min: 3, max: 12 } },
    database: { min: 2, max: 32 },
    nodeType: 'cache.m7g.xlarge',
  },
};
