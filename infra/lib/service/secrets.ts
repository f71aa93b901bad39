/**
 * Secrets of the server that no other construct has. Secrets Manager makes them, so no template and no output has ever had them. Each
 * is a file in the folder of the settings, because a variable cannot change while a task runs; a secret that signs tokens may have
 * several lines, so that it can be rotated without an interruption.
 */
import { RemovalPolicy, Tokenization } from 'aws-cdk-lib';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { suppress } from '../nag';
import type { ServiceSecrets } from './index';
import type { ServiceValues } from './inputs';

/** A file below /run/realtime: the secret in it, and what is before and after the secret (settings.sh). */
export interface SecretFile {
  readonly name: string;
  readonly arn: string;
  readonly around?: readonly [before: string, after: string];
}

/** The file of a setting's secret. */
export const settingFile = (variable: string): string => variable.toLowerCase().replaceAll('_', '-');

export class Secrets extends Construct {
  /** Those of the service in another region, if there is one. */
  readonly arns: ServiceSecrets;
  readonly files: SecretFile[];

  constructor(scope: Construct, id: string, props: ServiceValues) {
    super(scope, id);
    this.arns = props.sharedSecrets ?? this.createSecrets(props);
    const { redis, database } = props;
    this.files = [
      { name: 'jwt', arn: this.arns.jwtSecretArn },
      { name: 'operators', arn: this.arns.operatorsSecretArn },
      { name: 'encryption-key', arn: this.arns.encryptionKeyArn },
      { name: 'database-password', arn: database.passwordArn },
      {
        name: 'redis-url',
        arn: redis.passwordArn,
        around: [`rediss://${redis.user}:`, `@${redis.host}:${Tokenization.stringifyNumber(redis.port)}`],
      },
      ...(props.previousEncryptionKeyArn ? [{ name: 'previous-encryption-key', arn: props.previousEncryptionKeyArn }] : []),
      ...Object.entries(props.settingSecrets).map(([variable, arn]) => ({ name: settingFile(variable), arn })),
    ];
  }

  private createSecrets({ name, jwtSecretArn, kmsKey }: ServiceValues): ServiceSecrets {
    const secret = (id: string, description: string, passwordLength: number) => {
      const created = new secretsmanager.Secret(this, id, {
        description,
        // Another length or another alphabet would be another secret.
        generateSecretString: { passwordLength, excludePunctuation: true },
        ...(kmsKey && { encryptionKey: kmsKey }),
      });
      suppress(created, 'AwsSolutions-SMG4', 'Rotated by hand (docs/aws.md): two secrets are accepted for a while, which no function of AWS does.');
      return created;
    };
    return {
      // When another one is given, clients still have tokens that this one signed; and this one may be given.
      jwtSecretArn: jwtSecretArn ?? kept(secret('Jwt', `Signs the tokens of clients of ${name}; one secret a line`, 64)).secretArn,
      operatorsSecretArn: secret('Operators', `Signs the tokens of operators of ${name}; one secret a line`, 64).secretArn,
      // Without it the secrets of stored tenants cannot be read. Exactly 32 bytes, as AES-256 has them.
      encryptionKeyArn: kept(secret('EncryptionKey', `Encrypts the secrets of stored tenants of ${name}`, 32)).secretArn,
    };
  }
}

/** Stays when it leaves the stack, because CloudFormation deletes a secret so that it cannot be restored. */
function kept(secret: secretsmanager.Secret): secretsmanager.Secret {
  secret.applyRemovalPolicy(RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE);
  return secret;
}
