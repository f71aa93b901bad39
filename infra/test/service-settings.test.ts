import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { settings } from '../lib/service/functions/settings.mjs';
import { answered, client } from './functions';
import { service } from './services';
import { only } from './stacks';

const Content = '# Grüße\n[limits]\n';
const Sha256 = createHash('sha256').update(Content).digest('hex');
const ResourceProperties = { Bucket: 'settings', Key: 'config.toml', Content, Sha256 };
const PhysicalResourceId = 's3://settings/config.toml';
const version = (VersionId: string, Key = 'config.toml') => ({ Key, VersionId });

const made = (outcomes: Record<string, unknown[]> = {}) => {
  const s3 = client({ putObject: [{}], listObjectVersions: [{}], deleteObjects: [{}], ...outcomes });
  return { s3, handler: settings(s3 as any) };
};

for (const RequestType of ['Create', 'Update']) {
  test(`the text is put into the bucket: ${RequestType}`, async () => {
    const { s3, handler } = made();
    const answer = await answered(handler, { RequestType, PhysicalResourceId: 'another', ResourceProperties });
    assert.deepEqual(answer, { Status: 'SUCCESS', PhysicalResourceId, Reason: '' });
    assert.deepEqual(s3.calls, [['putObject', { Bucket: 'settings', Key: 'config.toml', Body: Content }]]);
  });
}

test('a text that was changed on its way is a failure, and changes nothing', async () => {
  const { s3, handler } = made();
  const answer = await answered(handler, { RequestType: 'Update', ResourceProperties: { ...ResourceProperties, Content: '# Gr??e\n[limits]\n' } });
  assert.equal(answer.Status, 'FAILED');
  assert.match(answer.Reason, /beyond ASCII/);
  assert.deepEqual(s3.calls, []);
});

test('a bucket that does not take it is a failure', async () => {
  const { handler } = made({ putObject: [new Error('Access Denied')] });
  const { Status, Reason } = await answered(handler, { RequestType: 'Create', ResourceProperties });
  assert.deepEqual([Status, Reason], ['FAILED', 'Access Denied']);
});

test('every version is deleted with the stack, and no other object', async () => {
  const { s3, handler } = made({
    listObjectVersions: [
      { Versions: [version('1'), version('2', 'config.toml.old')], IsTruncated: true, NextKeyMarker: 'config.toml', NextVersionIdMarker: '2' },
      { Versions: [version('3')], DeleteMarkers: [version('4')] },
    ],
  });
  const answer = await answered(handler, { RequestType: 'Delete', PhysicalResourceId, ResourceProperties });
  assert.equal(answer.Status, 'SUCCESS');
  assert.deepEqual(
    s3.calls.filter(([operation]) => operation === 'deleteObjects').map(([, input]) => input.Delete.Objects),
    [[version('1')], [version('3'), version('4')]],
  );
  assert.deepEqual(s3.calls[2]?.[1], { Bucket: 'settings', Prefix: 'config.toml', KeyMarker: 'config.toml', VersionIdMarker: '2' });
});

test('a deletion succeeds without the bucket, and keeps the identity of what is deleted', async () => {
  const { handler } = made({ listObjectVersions: [new Error('NoSuchBucket')] });
  const answer = await answered(handler, { RequestType: 'Delete', PhysicalResourceId: 's3://before/config.toml', ResourceProperties });
  assert.deepEqual(answer, { Status: 'SUCCESS', PhysicalResourceId: 's3://before/config.toml', Reason: '' });
});

test('an edit of config.toml changes the object, and nothing else', () => {
  const [before, after] = ['[limits]\n', '[limits]\nmax_channels_per_client = 10\n'].map((config) => service({ config }).toJSON().Resources);
  const changed = Object.keys(after).filter((id) => JSON.stringify(before[id]) !== JSON.stringify(after[id]));
  assert.deepEqual(
    changed.map((id) => after[id].Type),
    ['Custom::Settings'],
  );
  assert.deepEqual(Object.keys(before), Object.keys(after));
});

test('earlier versions of the object are kept for a while, and no one outside has access', () => {
  const bucket = only(service(), 'AWS::S3::Bucket');
  assert.equal(bucket.VersioningConfiguration.Status, 'Enabled');
  assert.equal(bucket.LifecycleConfiguration.Rules[0].NoncurrentVersionExpiration.NoncurrentDays, 90);
  assert.deepEqual(new Set(Object.values(bucket.PublicAccessBlockConfiguration)), new Set([true]));
});
