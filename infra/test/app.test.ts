/** The app as a whole: what reaches from one construct to another. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { app, given, refused } from './stacks';

const template = (inputs: Record<string, unknown>) => {
  const stack = app(inputs).node.findChild('realtime');
  assert.ok(stack instanceof Stack);
  return Template.fromStack(stack).toJSON();
};

// Made once for all tests, because it takes seconds.
const templates = new Map<string, ReturnType<typeof template>>();
const sized = (size: string) => {
  const made = templates.get(size) ?? template({ ...given, size });
  templates.set(size, made);
  return made;
};

const resources = (size = 'small'): Record<string, { Type: string; Properties: any }> => sized(size).Resources;

test('outputs are what a person needs next', () => {
  assert.deepEqual(Object.keys(sized('small').Outputs).sort(), ['Alarms', 'Dashboard', 'Endpoint', 'LogGroup', 'OperatorToken', 'Token']);
});

test('database and cache let in the server, and nothing else', () => {
  const rules = Object.values(resources()).filter((resource) => resource.Type === 'AWS::EC2::SecurityGroupIngress');
  const ports = rules.map(({ Properties }) => Properties.ToPort).sort();
  assert.deepEqual(ports, [5432, 6379, 8080]);
});

for (const [size, count] of [['small', [2, 4]], ['medium', [2, 8]], ['large', [3, 12]]] as const) {
  test(`the size ${size} has its tasks`, () => {
    const [target] = Object.values(resources(size)).filter((resource) => resource.Type === 'AWS::ApplicationAutoScaling::ScalableTarget');
    assert.deepEqual([target?.Properties.MinCapacity, target?.Properties.MaxCapacity], count);
  });
}

test('the constructs of the app check what the inputs are', () => {
  refused(() => template({ ...given, image: 'realtime-server:latest' }), /not with :latest/);
  refused(() => template({ ...given, domain: { name: 'https://example.com', zoneId: 'Z1' } }), /without a scheme/);
});

test('everything has the tag of the application', () => {
  const tagged = Object.values(resources()).filter((resource) => Array.isArray(resource.Properties?.Tags));
  assert.ok(tagged.length > 50);
  for (const { Properties } of tagged) assert.ok(Properties.Tags.some((tag: { Key: string; Value: unknown }) => tag.Key === 'application' && tag.Value === 'realtime'));
});
