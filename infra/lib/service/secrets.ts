/**
 * Secrets of the server that no other construct has. Secrets Manager makes them, so no template and no output has ever had them. Each
 * is a file in the folder of the settings, because a variable cannot change while a task runs; a secret that signs tokens may have
 * several lines, so that it can be rotated without an interruption.
 */
import { RemovalPolicy, Tokenization } from 'aws-cdk-lib';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { suppress } from '../nag';
import type { Checked } from './inputs';

/** A file below /run/realtime: the secret in it, and what is before and after the secret (settings.sh). */
export interface SecretFile {
  readonly name: string;
  readonly arn: string;
  readonly around?: readonly [before: string, after: string];
}

export class Secrets extends Construct {
  readonly jwtArn: string;
  readonly operatorsArn: string;
  readonly encryptionKeyArn: string;
  readonly files: SecretFile[];

  constructor(scope: Construct, id: string, props: Checked) {
    super(scope, id);
    const made = (id: string, description: string, passwordLength: number) => {
      const secret = new secretsmanager.Secret(this, id, {
        description,
        // Another length or another alphabet would be another secret.
        generateSecretString: { passwordLength, excludePunctuation: true },
        ...(props.kmsKey && { encryptionKey: props.kmsKey }),
      });
      suppress(secret, 'AwsSolutions-SMG4', 'Rotated by hand (docs/aws.md): tokens live with two secrets for a while, which no function of AWS does.');
      return secret;
    };
    this.jwtArn = props.jwtSecretArn ?? made('Jwt', `Signs the tokens of clients of ${props.name}; one secret a line`, 64).secretArn;
    this.operatorsArn = made('Operators', `Signs the tokens of operators of ${props.name}; one secret a line`, 64).secretArn;
    // Exactly 32 bytes, as AES-256 has them.
    const encryptionKey = made('EncryptionKey', `Encrypts the secrets of stored tenants of ${props.name}`, 32);
    // Without it the secrets of stored tenants cannot be read, and CloudFormation deletes a secret so that it cannot be restored.
    encryptionKey.applyRemovalPolicy(RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE);
    this.encryptionKeyArn = encryptionKey.secretArn;

    const { redis, database } = props;
    this.files = [
      { name: 'jwt', arn: this.jwtArn },
      { name: 'operators', arn: this.operatorsArn },
      { name: 'encryption-key', arn: this.encryptionKeyArn },
      { name: 'database-password', arn: database.passwordArn },
      {
        name: 'redis-url',
        arn: redis.passwordArn,
        around: [`rediss://${redis.user}:`, `@${redis.host}:${Tokenization.stringifyNumber(redis.port)}`],
      },
    ];
  }
}
