/** The app and its stacks as the tests need them: with the context of cdk.json, which the CDK's own program would read. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { App, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { realtime } from '../lib/app';
import { Network } from '../lib/network';
import { InvalidInput } from '../lib/valid';

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

// Each is made once for all tests, because it takes seconds.
const made = new Map<string, Record<string, Template>>();

/** The templates of the app in a size, by the names of their stacks. */
export function templates(size = 'small'): Record<string, Template> {
  const known = made.get(size);
  if (known) return known;
  const stacks = app({ ...given, size }).node.children.filter((child) => child instanceof Stack);
  const all = Object.fromEntries(stacks.map((stack) => [stack.node.id, Template.fromStack(stack)]));
  made.set(size, all);
  return all;
}

/** The template of a stack with what the function makes. */
export function templateOf(make: (stack: Stack) => void): Template {
  const stack = new Stack(new App({ context }), 'example', { env: { region: 'eu-central-1' }, analyticsReporting: false });
  make(stack);
  return Template.fromStack(stack);
}

/** The template of a stack with a network, and with what the function makes in it. */
export function templateIn(make: (stack: Stack, network: Network) => void): Template {
  return templateOf((stack) => make(stack, new Network(stack, 'Network', { name: 'example' })));
}

/** The properties of the only resource of a type, or of the only one for which the condition holds. */
export function only(template: Template, type: string, matches: (properties: any) => boolean = () => true): any {
  const found = Object.values(template.findResources(type))
    .map(({ Properties }) => Properties)
    .filter(matches);
  assert.equal(found.length, 1, type);
  return found[0];
}

/** That the value is refused, for this reason, as something that who deploys can change. */
export function refused(make: () => unknown, reason: RegExp): void {
  assert.throws(make, (error) => error instanceof InvalidInput && reason.test(error.message));
}
