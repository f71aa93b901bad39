/** The app and its stacks as the tests need them: with the context of cdk.json, which the CDK's own program would read. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { App, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { realtime } from '../lib/app';

const context = (JSON.parse(readFileSync(join(__dirname, '../cdk.json'), 'utf8')) as { context: Record<string, unknown> }).context;

/** Inputs that are accepted. */
export const given = {
  region: 'eu-central-1',
  domain: { name: 'realtime.example.com', zoneId: 'Z0123456789' },
  image: '123456789012.dkr.ecr.eu-central-1.amazonaws.com/realtime-server:0.1.0',
};

/** The app with these inputs. */
export function app(inputs: Record<string, unknown> = given): App {
  const made = new App({ context: { ...context, ...inputs }, treeMetadata: false });
  realtime(made);
  return made;
}

/** The template of a stack with what the function makes. */
export function templateOf(make: (stack: Stack) => void): Template {
  const stack = new Stack(new App({ context }), 'example', { env: { region: 'eu-central-1' }, analyticsReporting: false });
  make(stack);
  return Template.fromStack(stack);
}
