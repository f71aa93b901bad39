/** The app: `npx cdk synth`, `npx cdk deploy`. What it makes is in lib/, the values that it asks for in lib/inputs.ts. */
import { App } from 'aws-cdk-lib';
import { realtime } from '../lib/app';
import { InvalidInput } from '../lib/valid';

const app = new App();
try {
  realtime(app);
  app.synth();
} catch (error) {
  if (!(error instanceof InvalidInput)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
