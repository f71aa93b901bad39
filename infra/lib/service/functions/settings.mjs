/** The object config.toml in the bucket of the settings: put there when its text changes, deleted with its versions at the end. */
import { createHash } from 'node:crypto';
import { S3 } from '@aws-sdk/client-s3';
import { customResource } from './respond.mjs';

/** @param {Pick<S3, 'putObject' | 'listObjectVersions' | 'deleteObjects'>} s3 */
export const settings = (s3) =>
  customResource(
    ({ ResourceProperties: { Bucket, Key } }) => `s3://${Bucket}/${Key}`,
    async ({ RequestType, ResourceProperties: { Bucket, Key, Content, Sha256 } }) => {
      if (RequestType === 'Delete') return deleteVersions(s3, Bucket, Key);
      // Programs that deploy templates have replaced characters beyond ASCII.
      if (createHash('sha256').update(Content).digest('hex') !== Sha256) {
        throw new Error(`${Key} has arrived with other characters: it has some beyond ASCII, and what deploys the template changes them.`);
      }
      await s3.putObject({ Bucket, Key, Body: Content });
    },
  );

/**
 * @param {Pick<S3, 'listObjectVersions' | 'deleteObjects'>} s3
 * @param {string} Bucket
 * @param {string} Key
 */
async function deleteVersions(s3, Bucket, Key) {
  /** @type {{ KeyMarker?: string | undefined, VersionIdMarker?: string | undefined } | undefined} */
  let next = {};
  while (next) {
    /** @type {import('@aws-sdk/client-s3').ListObjectVersionsCommandOutput} */
    const page = await s3.listObjectVersions({ Bucket, Prefix: Key, ...next });
    const Objects = [...(page.Versions ?? []), ...(page.DeleteMarkers ?? [])]
      .filter((version) => version.Key === Key)
      .map(({ VersionId }) => ({ Key, VersionId }));
    if (Objects.length > 0) {
      const { Errors = [] } = await s3.deleteObjects({ Bucket, Delete: { Objects } });
      if (Errors.length > 0) throw new Error(`${Errors.length} versions of ${Key} stay: ${Errors[0]?.Message}`);
    }
    next = page.IsTruncated ? { KeyMarker: page.NextKeyMarker, VersionIdMarker: page.NextVersionIdMarker } : undefined;
  }
}

export const handler = settings(new S3({ requestHandler: { connectionTimeout: 5_000, requestTimeout: 10_000 } }));
