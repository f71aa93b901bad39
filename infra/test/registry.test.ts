import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Registry } from '../lib/registry';
import { refused, templateOf } from './stacks';

const registry = (name = 'example') =>
  templateOf((stack) => new Registry(stack, 'Registry', { name }).output('registry.example.com:5000/realtime-server:0.1.0'));

test('a tag is written once, and what is pushed is scanned and encrypted', () => {
  registry().hasResourceProperties('AWS::ECR::Repository', {
    RepositoryName: 'example',
    ImageTagMutability: 'IMMUTABLE',
    ImageScanningConfiguration: { ScanOnPush: true },
    EncryptionConfiguration: { EncryptionType: 'KMS' },
  });
});

test('images that have a tag stay', () => {
  const [repository] = Object.values(registry().findResources('AWS::ECR::Repository'));
  const { rules } = JSON.parse(repository?.Properties.LifecyclePolicy.LifecyclePolicyText);
  assert.deepEqual(
    rules.map((rule: { selection: { tagStatus: string } }) => rule.selection.tagStatus),
    ['untagged'],
  );
});

test('the commands that push the image, with the tag that tasks run, are an output', () => {
  assert.match(JSON.stringify(registry().findOutputs('Push')), /docker buildx build .*:0\.1\.0 --push /);
});

test('a name with capitals is refused', () => {
  refused(() => registry('Example'), /name has small letters and digits/);
});
