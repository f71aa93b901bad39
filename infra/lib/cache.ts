/**
 * ElastiCache for Valkey, through which the nodes exchange messages. One primary and its replicas under one address that follows a
 * failover; not a cluster with shards, which the server does not use. Nothing in it outlives the nodes, so there are no backups.
 */
import { Tags } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as elasticache from 'aws-cdk-lib/aws-elasticache';
import type * as kms from 'aws-cdk-lib/aws-kms';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import type { RedisConnection } from './connections';
import { suppress } from './nag';
import { refuseUnless, validClientCidr, validName } from './valid';

export interface CacheProps {
  /** Name of the cache, such as `realtime`. */
  readonly name: string;
  readonly vpc: ec2.IVpc;
  /** Subnets in at least two zones. */
  readonly subnets: ec2.ISubnet[];
  /** Version of Valkey, with its minor one. AWS does not upgrade it; a higher one is an upgrade in place, a lower one another cache, whose name is taken. */
  readonly engineVersion?: string;
  /** Size of each node. */
  readonly nodeType?: string;
  /** The primary and its replicas. */
  readonly nodes?: number;
  /** Key that encrypts what is stored. Without it, the AWS managed key. */
  readonly kmsKey?: kms.IKey;
}

const PORT = 6379;
const USER = 'realtime';

export class Cache extends Construct {
  readonly connection: RedisConnection;
  /** What alarms need of the cache: the names of its nodes, which stay when the primary changes. */
  readonly monitored: { readonly nodeIds: string[] };
  private readonly securityGroup: ec2.SecurityGroup;

  constructor(scope: Construct, id: string, props: CacheProps) {
    super(scope, id);
    const { engineVersion = '8.0', nodeType = 'cache.t4g.small', nodes = 2 } = props;
    const name = validName(props.name);
    refuseUnless(props.subnets.length >= 2, 'subnets are of at least two zones, so that a replica in another one can take over.');
    refuseUnless(
      /^(7\.2|([89]|[1-9][0-9])\.[0-9]+)$/.test(engineVersion),
      'engineVersion is a version of Valkey with its minor one, from 7.2 on, such as 8.0.',
    );
    refuseUnless(/^cache\.[a-z0-9]+\.[a-z0-9]+$/.test(nodeType), 'nodeType is a type of ElastiCache, such as cache.t4g.small.');
    refuseUnless(Number.isInteger(nodes) && nodes >= 2 && nodes <= 6, 'nodes is from 2 to 6: without a replica there is nothing to fail over to.');

    this.securityGroup = new ec2.SecurityGroup(this, 'SecurityGroup', {
      vpc: props.vpc,
      description: `Who may connect to the cache of ${name}`,
      allowAllOutbound: false,
    });
    Tags.of(this.securityGroup).add('Name', `${name}-cache`);
    const password = this.password(props);
    const cache = new elasticache.CfnReplicationGroup(this, 'ReplicationGroup', {
      replicationGroupId: name,
      replicationGroupDescription: `Messages between the nodes of ${name}`,
      engine: 'valkey',
      engineVersion,
      cacheNodeType: nodeType,
      port: PORT,
      numCacheClusters: nodes,
      cacheParameterGroupName: this.parameters(name, engineVersion).ref,
      cacheSubnetGroupName: this.subnets(props).ref,
      securityGroupIds: [this.securityGroup.securityGroupId],
      userGroupIds: [this.userGroup(name, password).ref],
      multiAzEnabled: true,
      automaticFailoverEnabled: true,
      transitEncryptionEnabled: true,
      transitEncryptionMode: 'required',
      atRestEncryptionEnabled: true,
      kmsKeyId: props.kmsKey?.keyArn,
      // A minor version that AWS installs differs from engineVersion, and a lower version means another cache.
      autoMinorVersionUpgrade: false,
    });
    suppress(cache, 'AwsSolutions-AEC6', 'A user with a password and few rights takes the place of the one password of all (AUTH).');

    this.connection = { host: cache.attrPrimaryEndPointAddress, port: PORT, user: USER, passwordArn: password.secretArn, ready: this };
    this.monitored = { nodeIds: Array.from({ length: nodes }, (_, index) => `${name}-${String(index + 1).padStart(3, '0')}`) };
  }

  /** Lets the members of a security group connect. */
  allowFrom(client: string, group: ec2.ISecurityGroup): void {
    this.securityGroup.addIngressRule(group, ec2.Port.tcp(PORT), `Valkey, from ${client}`);
  }

  /** Lets a network connect: that of tasks in another region, whose security group cannot be named. */
  allowFromNetwork(client: string, cidr: string): void {
    this.securityGroup.addIngressRule(ec2.Peer.ipv4(validClientCidr(cidr)), ec2.Port.tcp(PORT), `Valkey, from ${client}`);
  }

  private subnets(props: CacheProps): elasticache.CfnSubnetGroup {
    return new elasticache.CfnSubnetGroup(this, 'Subnets', {
      cacheSubnetGroupName: props.name,
      description: `The cache of ${props.name}`,
      subnetIds: props.subnets.map((subnet) => subnet.subnetId),
    });
  }

  private parameters(name: string, engineVersion: string): elasticache.CfnParameterGroup {
    return new elasticache.CfnParameterGroup(this, 'Parameters', {
      description: `The cache of ${name}`,
      cacheParameterGroupFamily: `valkey${engineVersion.split('.')[0]}`,
      // Presence has a lease; evicted earlier, clients would vanish from rooms. A full cache refuses instead, which is an alarm.
      properties: { 'maxmemory-policy': 'noeviction' },
    });
  }

  private password(props: CacheProps): secretsmanager.Secret {
    const password = new secretsmanager.Secret(this, 'Password', {
      description: `Password of the user in the cache of ${props.name}`,
      // It is part of an address.
      generateSecretString: { passwordLength: 64, excludePunctuation: true },
      encryptionKey: props.kmsKey,
    });
    suppress(password, 'AwsSolutions-SMG4', 'It is rotated by hand, with the user and the tasks: docs/aws.md.');
    return password;
  }

  /** The server's user. No other user exists, so nothing connects without a password. */
  private userGroup(name: string, password: secretsmanager.Secret): elasticache.CfnUserGroup {
    const user = new elasticache.CfnUser(this, 'User', {
      userId: name,
      userName: USER,
      engine: 'valkey',
      // A node ends connections of its own that are left over (CLIENT KILL); nothing else of what operators do.
      accessString: 'on ~* &* +@all -@admin +client|kill',
      // The template has a reference, which CloudFormation follows.
      passwords: [password.secretValue.unsafeUnwrap()],
    });
    return new elasticache.CfnUserGroup(this, 'UserGroup', { engine: 'valkey', userGroupId: name, userIds: [user.ref] });
  }
}
