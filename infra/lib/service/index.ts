/**
 * The server on ECS Fargate: tasks behind a target group, that scale by connections and by CPU, and drain when they stop. What the
 * module `service` is in terraform/.
 *
 * Tasks, service and scaling are CloudFormation's own resources (L1): those of the CDK above them add roles, grants and a number of
 * tasks that Terraform does not have.
 */
import { RemovalPolicy, Stack, Tags } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import type { ITargetGroup } from 'aws-cdk-lib/aws-elasticloadbalancingv2';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import * as logs from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import type { DatabaseConnection, Drain, RedisConnection } from '../connections';
import { addDeploymentAlarm } from './deployment';
import { executionStatements, keyStatements, taskRole, taskStatements } from './iam';
import { resolve, type ServiceValues } from './inputs';
import { Migration } from './migration';
import { scale } from './scaling';
import { Secrets } from './secrets';
import { Settings } from './settings';
import { PORT, INTERNAL_PORT, serverTask } from './task';

/** The secrets of a service, for services of other regions that use the same database and Redis. */
export interface ServiceSecrets {
  readonly jwtSecretArn: string;
  readonly operatorsSecretArn: string;
  readonly encryptionKeyArn: string;
}

export interface ServiceProps {
  /** Name of cluster, service and task, and value of the dimension `service` of all metrics. */
  readonly name: string;
  /** The network. */
  readonly vpc: ec2.IVpc;
  /** Private subnets with a way to the internet, in at least two zones. */
  readonly subnets: ec2.ISubnet[];
  /** The image, with its version or its digest. */
  readonly image: string;
  /** The text of config.toml, without secrets. A change is applied by running tasks. */
  readonly config: string;
  /** Secrets of further settings, by the variables of these: `{ REALTIME__TELEMETRY__PUSH__AUTH: 'arn:…' }`, by their whole ARNs. */
  readonly settingSecrets?: Record<string, string>;
  /** The address of clients, such as `wss://realtime.example.com`. */
  readonly publicUrl: string;
  /** The target group in which tasks are registered. */
  readonly targetGroup: ITargetGroup;
  /** The security group of the load balancer, and the networks of its own addresses, which send PROXY headers. */
  readonly loadBalancer: { readonly securityGroup: ec2.ISecurityGroup; readonly cidrs: string[] };
  /** Whether the load balancer receives another address in the place of clients', as behind an accelerator: then there are no limits per address. */
  readonly clientsAreHidden?: boolean;
  /** Who may reach the internal port (metrics, status, administration), each under a name: a security group (`sg-…`), or a network (`10.1.64.0/20`). */
  readonly operators?: Record<string, string>;
  readonly database: DatabaseConnection;
  readonly redis: RedisConnection;
  /**
   * The secret that signs the tokens of clients, one a line, by its whole ARN. Without it, one is made, which stays when another one is
   * given later. The other one has what is in it as well then, so that clients' tokens are accepted until they expire. A key that encrypts
   * it belongs into `secretKmsKeys`.
   */
  readonly jwtSecretArn?: string | undefined;
  /** Of the service in another region, whose database and Redis this one uses as well. Its secrets are used, and it migrates the database. */
  readonly sharedSecrets?: ServiceSecrets;
  /** The secret with the key that encrypted the secrets of stored tenants before, while it is rotated, by its whole ARN. */
  readonly previousEncryptionKeyArn?: string | undefined;
  /** CPU of a task, in units of which 1,024 are one processor. */
  readonly cpu?: number;
  /** Memory of a task in MiB, of which 256 are for the container that fetches settings. */
  readonly memory?: number;
  /** The fewest and the most tasks. */
  readonly tasks?: { readonly min: number; readonly max: number };
  /** WebSockets of a task; scaling aims at six tenths of it. */
  readonly maxConnections?: number;
  /** The same as that of the load balancer. */
  readonly drain?: Drain;
  /** Seconds of server.ping_interval. */
  readonly pingInterval?: number;
  /** Namespace of the metrics in CloudWatch. */
  readonly namespace?: string;
  /** Seconds between two requests for config.toml and for the secrets. Each is a start of the AWS CLI, about a second of CPU. */
  readonly settingsInterval?: number;
  /**
   * An image with the AWS CLI and a shell, which receives all secrets of the server and is fetched at each start of a task: a copy in a
   * registry of yours, or its digest, makes it the same forever.
   */
  readonly settingsImage?: string;
  /** An image with psql 15 or later and a shell, which receives the password of the owner of the database: as `settingsImage`. */
  readonly psqlImage?: string;
  /** Key that encrypts secrets and logs; its policy allows CloudWatch Logs to use it. Without it: the AWS managed key. */
  readonly kmsKey?: IKey;
  /** Keys of secrets that are encrypted with another one than `kmsKey`: that of `jwtSecretArn`, and those of database and cache. */
  readonly secretKmsKeys?: IKey[];
  /** Days that log lines of the tasks are kept. */
  readonly logRetentionDays?: number;
}

export class Service extends Construct {
  /** The group of the tasks, from which database and cache accept connections. */
  readonly securityGroup: ec2.SecurityGroup;
  /** Name of the cluster, and of the service in it. */
  readonly clusterName: string;
  /** The secret that signs the tokens of clients. */
  readonly jwtSecretArn: string;
  /** The secret that signs the tokens of operators. */
  readonly operatorsSecretArn: string;
  /** The secrets, for services of other regions. */
  readonly secrets: ServiceSecrets;
  /** Whether limits per address are off, as an accelerator needs it. */
  readonly clientsAreHidden: boolean;
  /** The log of all tasks. */
  readonly logGroup: logs.LogGroup;
  /** Cluster and service as their metrics name them, and the namespace of what is counted in their log, for alarms. */
  readonly monitored: { readonly cluster: string; readonly service: string; readonly logNamespace: string };
  /** The dimensions of all metrics, for alarms and dashboard. */
  readonly dimensions: Record<string, string>;

  constructor(scope: Construct, id: string, given: ServiceProps) {
    super(scope, id);
    const props = resolve(given, Stack.of(this).region);
    this.dimensions = { service: props.name };
    this.clientsAreHidden = props.clientsAreHidden;
    this.securityGroup = this.createSecurityGroup(props);
    this.logGroup = new logs.LogGroup(this, 'Logs', {
      logGroupName: `/realtime/${props.name}`,
      retention: props.logRetentionDays,
      removalPolicy: RemovalPolicy.DESTROY,
      ...(props.kmsKey && { encryptionKey: props.kmsKey }),
    });
    const cluster = new ecs.Cluster(this, 'Cluster', {
      vpc: props.vpc,
      clusterName: props.name,
      containerInsightsV2: ecs.ContainerInsights.ENABLED,
    });
    this.clusterName = cluster.clusterName;
    this.monitored = { cluster: cluster.clusterName, service: props.name, logNamespace: this.countNotFetched(props) };

    const secrets = new Secrets(this, 'Secrets', props);
    this.secrets = secrets.arns;
    this.jwtSecretArn = secrets.arns.jwtSecretArn;
    this.operatorsSecretArn = secrets.arns.operatorsSecretArn;
    const settings = new Settings(this, 'Settings', { config: props.config, logGroup: this.logGroup });

    const common = { service: props, secrets, logGroup: this.logGroup };
    const definition = serverTask(this, 'Task', {
      ...common,
      bucket: settings.bucket.bucketName,
      roles: {
        task: taskRole(this, 'TaskRole', 'task', [...taskStatements(props, settings.bucket, secrets), ...keyStatements(props)]),
        execution: taskRole(this, 'ExecutionRole', 'execution', executionStatements(props.image, this.logGroup)),
      },
    });

    const service = this.createService(props, cluster, definition);
    // Without a way to the internet there is no image, and no AWS.
    const connected = props.subnets.map((subnet) => subnet.internetConnectivityEstablished);
    const first = [props.database.ready, props.redis.ready, ...connected];
    // A version serves after its tables are there, and a task starts with its settings.
    service.node.addDependency(...first, settings.object, props.targetGroup.loadBalancerAttached);
    if (!props.sharedSecrets) {
      const migration = new Migration(this, 'Migration', { ...common, cluster, securityGroup: this.securityGroup });
      migration.run.node.addDependency(...first);
      service.node.addDependency(migration);
      // A migration that fails leaves the settings as they are, too.
      settings.object.node.addDependency(migration);
    }
    scale(this, props, cluster.clusterName, service);
  }

  /**
   * Lines of settings.sh about ten minutes in which something was not fetched, for an alarm: lines that begin with these words, because
   * those of the server, which begin with a brace, have texts of clients in them. A metric of log lines that are no JSON has no dimensions,
   * so its namespace, which is returned, is that of this service.
   */
  private countNotFetched({ name, namespace }: ServiceValues): string {
    const metricNamespace = `${namespace}/${name}`;
    new logs.CfnMetricFilter(this, 'SettingsNotFetched', {
      filterName: `${name}-settings-not-fetched`,
      logGroupName: this.logGroup.logGroupName,
      filterPattern: '[first = Settings, second = or, third = secrets, fourth = cannot, ...]',
      metricTransformations: [{ metricName: 'settings_not_fetched', metricNamespace, metricValue: '1', defaultValue: 0 }],
    });
    return metricNamespace;
  }

  private createSecurityGroup(props: ServiceValues): ec2.SecurityGroup {
    const group = new ec2.SecurityGroup(this, 'SecurityGroup', {
      vpc: props.vpc,
      description: `Tasks of ${props.name}`,
      // Database, Redis, AWS, identity providers whose keys are fetched, databases of tenants.
      allowAllOutbound: true,
    });
    (group.node.defaultChild as ec2.CfnSecurityGroup).addPropertyOverride('SecurityGroupEgress.0.Description', 'Everywhere');
    Tags.of(group).add('Name', `${props.name}-tasks`);
    group.addIngressRule(
      props.loadBalancer.securityGroup,
      ec2.Port.tcp(PORT),
      'Clients, through the load balancer alone, because a PROXY header of another could name any address',
    );
    for (const [name, source] of Object.entries(props.operators)) {
      const peer = source.includes('/') ? ec2.Peer.ipv4(source) : ec2.Peer.securityGroupId(source);
      group.addIngressRule(peer, ec2.Port.tcp(INTERNAL_PORT), `Operators and Prometheus: ${name}`);
    }
    return group;
  }

  private createService(props: ServiceValues, cluster: ecs.Cluster, definition: ecs.CfnTaskDefinition): ecs.CfnService {
    return new ecs.CfnService(this, 'Service', {
      serviceName: props.name,
      cluster: cluster.clusterArn,
      taskDefinition: definition.ref,
      launchType: 'FARGATE',
      platformVersion: 'LATEST',
      // There is no desiredCount: scaling changes it, and each update of the service would set it back. The first task is alone until
      // scaling has made it tasks.min.
      deploymentConfiguration: {
        minimumHealthyPercent: 100,
        maximumPercent: 200,
        deploymentCircuitBreaker: { enable: true, rollback: true },
        alarms: { alarmNames: [addDeploymentAlarm(this, props)], enable: true, rollback: true },
      },
      healthCheckGracePeriodSeconds: 60,
      enableExecuteCommand: false,
      propagateTags: 'SERVICE',
      networkConfiguration: {
        awsvpcConfiguration: {
          subnets: props.subnets.map((subnet) => subnet.subnetId),
          securityGroups: [this.securityGroup.securityGroupId],
          assignPublicIp: 'DISABLED',
        },
      },
      loadBalancers: [{ targetGroupArn: props.targetGroup.targetGroupArn, containerName: 'server', containerPort: PORT }],
    });
  }
}
