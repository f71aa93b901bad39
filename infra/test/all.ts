/** Every test of the folder in one process, because each process would load the CDK again, which takes seconds: `npm test`. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

for (const file of readdirSync(__dirname)) {
  if (file.endsWith('.test.ts')) require(join(__dirname, file));
}
