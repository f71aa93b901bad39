/**
 * Aurora PostgreSQL, Serverless v2: the store of tenants, and the database of the default tenant.
 *
 * The password of the owner is made and rotated by RDS; only the migration task reads it. The server has a role of its own. The
 * cluster is described resource by resource, because the construct of the CDK makes the password of the owner itself.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { RemovalPolicy, Stack, Tags } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import type * as kms from 'aws-cdk-lib/aws-kms';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as rds from 'aws-cdk-lib/aws-rds';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import type { DatabaseConnection } from './connections';
import { suppress } from './nag';
import { refuseUnless, validClientCidr, validName, validRetention } from './valid';

export interface DatabaseProps {
  /** Name of the cluster, such as `realtime`. */
  readonly name: string;
  readonly vpc: ec2.IVpc;
  /** Subnets in at least two zones. */
  readonly subnets: ec2.ISubnet[];
  /** Version of Aurora PostgreSQL, from 16 on; without a minor one that of AWS, which also upgrades it. */
  readonly engineVersion?: string;
  readonly databaseName?: string;
  /** The role that the server connects as. */
  readonly role?: string;
  /** The certificates that sign those of the databases of this region, as PEM. Without it: those of terraform/modules/database/certificates. */
  readonly certificates?: string;
  /** Instances of the cluster. One alone has no other that could take over. */
  readonly instances?: number;
  /** Aurora capacity units (about 2 GiB of memory each) of an instance. */
  readonly capacity?: Capacity;
  /** Days that can be restored to. */
  readonly backupDays?: number;
  /** Whether the cluster can only be deleted after this is false. */
  readonly deletionProtection?: boolean;
  /** Key that encrypts storage, secrets, Performance Insights and logs; its policy allows CloudWatch Logs to use it. Without it: AWS managed keys. */
  readonly kmsKey?: kms.IKey;
  /** Days that log lines of PostgreSQL are kept. */
  readonly logRetentionDays?: number;
}

export interface Capacity {
  readonly min: number;
  readonly max: number;
}

const PORT = 5432;
const OWNER = 'postgres';

export class Database extends Construct {
  readonly connection: DatabaseConnection;
  /** What alarms need of the cluster: its name, and how many connections an instance accepts. */
  readonly monitored: { readonly clusterId: string; readonly connectionsMax: number };
  private readonly cluster: rds.CfnDBCluster;
  private readonly securityGroup: ec2.SecurityGroup;

  constructor(scope: Construct, id: string, props: DatabaseProps) {
    super(scope, id);
    const { engineVersion = '16', databaseName = 'realtime', role = 'realtime', instances = 2 } = props;
    check({ ...props, engineVersion, databaseName, role, instances });

    this.securityGroup = new ec2.SecurityGroup(this, 'SecurityGroup', {
      vpc: props.vpc,
      description: `Who may connect to the database of ${props.name}`,
      allowAllOutbound: false,
    });
    Tags.of(this.securityGroup).add('Name', `${props.name}-database`);
    const capacity = props.capacity ?? { min: 0.5, max: 4 };
    this.cluster = this.createCluster({ ...props, engineVersion, databaseName, capacity });
    this.addInstances(props, instances);

    const password = new secretsmanager.Secret(this, 'Password', {
      description: `Password of the role ${role} in the database of ${props.name}`,
      generateSecretString: { passwordLength: 40, excludePunctuation: true },
      encryptionKey: props.kmsKey,
    });
    suppress(password, 'AwsSolutions-SMG4', 'It is rotated by hand, with the role and the tasks: docs/aws.md.');

    this.connection = {
      host: this.cluster.attrEndpointAddress,
      port: PORT,
      certificates: props.certificates ?? certificatesOf(Stack.of(this).region),
      database: databaseName,
      role,
      passwordArn: password.secretArn,
      owner: OWNER,
      ownerPasswordArn: this.cluster.attrMasterUserSecretSecretArn,
      ready: this,
    };
    // The default of Aurora, which follows the highest capacity and is 189, 823, 1,669 and 3,360 for 1, 4, 8 and 16 of it:
    // docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-serverless-v2.setting-capacity.html
    const connectionsMax = Math.min(capacity.min < 1 ? 2000 : 5000, Math.floor(211 * capacity.max - 22));
    this.monitored = { clusterId: props.name, connectionsMax };
  }

  /** Lets the members of a security group connect. */
  allowFrom(client: string, group: ec2.ISecurityGroup): void {
    this.securityGroup.addIngressRule(group, ec2.Port.tcp(PORT), `PostgreSQL, from ${client}`);
  }

  /** Lets a network connect: that of tasks in another region, whose security group cannot be named. */
  allowFromNetwork(client: string, cidr: string): void {
    this.securityGroup.addIngressRule(ec2.Peer.ipv4(validClientCidr(cidr)), ec2.Port.tcp(PORT), `PostgreSQL, from ${client}`);
  }

  private createCluster(
    props: DatabaseProps & { readonly engineVersion: string; readonly databaseName: string; readonly capacity: Capacity },
  ): rds.CfnDBCluster {
    const subnets = new rds.CfnDBSubnetGroup(this, 'Subnets', {
      dbSubnetGroupName: props.name,
      dbSubnetGroupDescription: `The database of ${props.name}`,
      subnetIds: props.subnets.map((subnet) => subnet.subnetId),
    });
    const parameters = new rds.CfnDBClusterParameterGroup(this, 'Parameters', {
      description: `The database of ${props.name}`,
      family: `aurora-postgresql${props.engineVersion.split('.')[0]}`,
      parameters: {
        // Connections without TLS are refused.
        'rds.force_ssl': '1',
        // Messages from SQL and changes of tables are read from the write-ahead log.
        'rds.logical_replication': '1',
      },
    });
    // Made here, because RDS would make one that keeps everything forever.
    const log = new logs.LogGroup(this, 'Log', {
      logGroupName: `/aws/rds/cluster/${props.name}/postgresql`,
      retention: validRetention(props.logRetentionDays ?? 30),
      removalPolicy: RemovalPolicy.DESTROY,
      ...(props.kmsKey && { encryptionKey: props.kmsKey }),
    });
    const cluster = new rds.CfnDBCluster(this, 'Cluster', {
      dbClusterIdentifier: props.name,
      engine: 'aurora-postgresql',
      engineMode: 'provisioned',
      engineVersion: props.engineVersion,
      port: PORT,
      databaseName: props.databaseName,
      masterUsername: OWNER,
      manageMasterUserPassword: true,
      ...(props.kmsKey && { masterUserSecret: { kmsKeyId: props.kmsKey.keyArn } }),
      dbSubnetGroupName: subnets.ref,
      vpcSecurityGroupIds: [this.securityGroup.securityGroupId],
      dbClusterParameterGroupName: parameters.ref,
      storageEncrypted: true,
      kmsKeyId: props.kmsKey?.keyArn,
      backupRetentionPeriod: props.backupDays ?? 14,
      copyTagsToSnapshot: true,
      deletionProtection: props.deletionProtection ?? true,
      enableCloudwatchLogsExports: ['postgresql'],
      serverlessV2ScalingConfiguration: { minCapacity: props.capacity.min, maxCapacity: props.capacity.max },
    });
    cluster.applyRemovalPolicy(RemovalPolicy.SNAPSHOT);
    cluster.node.addDependency(log);
    suppress(cluster, 'AwsSolutions-RDS6', 'The server connects with a password: a token of IAM lasts 15 minutes, and it has no way to fetch one.');
    return cluster;
  }

  /** The first one writes; another one takes over when it fails. They have the version of the cluster, which alone is upgraded. */
  private addInstances({ name, kmsKey }: DatabaseProps, count: number): void {
    for (let index = 0; index < count; index += 1) {
      new rds.CfnDBInstance(this, `Instance${index}`, {
        dbInstanceIdentifier: `${name}-${index}`,
        dbClusterIdentifier: this.cluster.ref,
        engine: 'aurora-postgresql',
        dbInstanceClass: 'db.serverless',
        publiclyAccessible: false,
        autoMinorVersionUpgrade: true,
        enablePerformanceInsights: true,
        performanceInsightsKmsKeyId: kmsKey?.keyArn,
        // Those with the same value as the writer are the first to take over.
        promotionTier: 0,
      });
    }
  }
}

/** As AWS publishes them: docs/aws.md, «The database». */
function certificatesOf(region: string): string {
  const file = join(__dirname, '../../terraform/modules/database/certificates', `${region}.pem`);
  refuseUnless(
    existsSync(file),
    `There are no certificates of the databases of ${region}: give certificates, with what https://truststore.pki.rds.amazonaws.com/${region}/${region}-bundle.pem has.`,
  );
  return readFileSync(file, 'utf8');
}

interface WithDefaults extends DatabaseProps {
  readonly engineVersion: string;
  readonly databaseName: string;
  readonly role: string;
  readonly instances: number;
}

function check(props: WithDefaults): void {
  validName(props.name);
  refuseUnless(props.subnets.length >= 2, 'subnets are of at least two zones, so that another instance can take over.');
  refuseUnless(
    /^(1[6-9]|[2-9][0-9])(\.[0-9]+)?$/.test(props.engineVersion),
    'engineVersion is a version of PostgreSQL from 16 on, such as 16 or 16.8: in an older one the role of the server, which has CREATEROLE, can set the password of the owner.',
  );
  refuseUnless(
    /^[a-z][a-z0-9_]{0,62}$/.test(props.databaseName),
    'databaseName has small letters, digits and underscores, and begins with a letter.',
  );
  refuseUnless(
    /^[a-z][a-z0-9_]{0,62}$/.test(props.role) && !['postgres', 'anon', 'authenticated', 'service_role'].includes(props.role),
    'role has small letters, digits and underscores, begins with a letter, and is not a role of the owner or of clients.',
  );
  refuseUnless(Number.isInteger(props.instances) && props.instances >= 1 && props.instances <= 15, 'instances is a whole number from 1 to 15.');
  const { min, max } = props.capacity ?? { min: 0.5, max: 4 };
  refuseUnless(
    min >= 0.5,
    'capacity.min is at least 0.5: a cluster that pauses (0) cannot have logical replication, which messages from SQL and changes of tables need.',
  );
  refuseUnless(max >= 1 && max <= 256 && max >= min, 'capacity.max is from 1 to 256, and not below capacity.min.');
  const days = props.backupDays ?? 14;
  refuseUnless(days >= 1 && days <= 35, 'backupDays is from 1 to 35.');
}
