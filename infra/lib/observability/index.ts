/**
 * The alarms of monitoring/cloudwatch-alarms.json, whose metrics the server sends itself, those of the resources that AWS runs, the
 * topic that receives them, and a dashboard.
 */
import { Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as sns from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';
import { refuseUnless, validName } from '../valid';
import { addAlarm } from './alarms';
import { alarmGraphs, dashboardBody, serverGraphs } from './dashboard';
import { resourceAlarms, type Monitored, type Thresholds } from './resources';
import { serverAlarms } from './server';

export interface ObservabilityProps {
  /** Prefix of alarms, and name of the dashboard. */
  readonly name: string;
  /** The conditions of the alarms: monitoring/cloudwatch-alarms.json of the version that runs. Without it, that of this repository. */
  readonly alarmsFile?: string;
  /** `telemetry.cloudwatch.namespace` of the servers. */
  readonly namespace?: string;
  /** `telemetry.cloudwatch.dimensions` of the servers; with others an alarm has no data. */
  readonly dimensions?: Record<string, string>;
  /** Whether tenants have databases: private rooms, messages from SQL, changes of tables. */
  readonly tenantDatabases?: boolean;
  /** What there is besides the server, for its alarms. */
  readonly resources?: Monitored;
  /** From when on the alarms of resources are raised. */
  readonly thresholds?: Partial<Thresholds>;
  /** Addresses that receive alarms. Each is sent a link by which it is confirmed. */
  readonly emails?: string[];
  /** Where docs/runbook.md is found, for the descriptions of the alarms. */
  readonly runbookUrl?: string;
}

export class Observability extends Construct {
  /** The topic of all alarms, to subscribe to. */
  readonly topic: sns.Topic;
  /** Address of the dashboard. */
  readonly dashboard: string;

  constructor(scope: Construct, id: string, props: ObservabilityProps) {
    super(scope, id);
    const { namespace = 'Realtime', dimensions = {}, emails = [] } = props;
    const name = validName(props.name);
    refuseUnless(!namespace.startsWith('AWS/'), 'namespace does not begin with AWS/, where only AWS sends metrics.');
    refuseUnless(Object.keys(dimensions).length <= 20, 'dimensions are at most 20, because a metric has at most 30 and some have labels.');
    refuseUnless(
      emails.every((email) => /^[^@ ]+@[^@ ]+$/.test(email)),
      'emails are addresses such as operators@example.com.',
    );

    this.topic = this.createTopic(name);
    for (const email of emails) {
      new sns.Subscription(this, email, { topic: this.topic, protocol: sns.SubscriptionProtocol.EMAIL, endpoint: email });
    }
    const runbookUrl = props.runbookUrl ?? 'docs/runbook.md';
    const present = ['bus', ...((props.tenantDatabases ?? true) ? ['tenant_databases'] : [])];
    const ofServer = serverAlarms({ namespace, dimensions, present, runbookUrl }, props.alarmsFile);
    const ofResources = resourceAlarms(props.resources ?? {}, props.thresholds ?? {}, runbookUrl);
    for (const [alarm, conditions] of Object.entries({ ...ofServer, ...ofResources })) addAlarm(this, name, alarm, conditions, this.topic);

    const graphs = [...serverGraphs(namespace, dimensions), ...alarmGraphs(ofResources)];
    new cloudwatch.CfnDashboard(this, 'Dashboard', { dashboardName: name, dashboardBody: dashboardBody(this, graphs) });
    const { region } = Stack.of(this);
    this.dashboard = `https://${region}.console.aws.amazon.com/cloudwatch/home?region=${region}#dashboards/dashboard/${name}`;
  }

  /** The AWS managed key for topics cannot be used by alarms: they would change their state and notify of nothing. */
  private createTopic(name: string): sns.Topic {
    const key = new kms.Key(this, 'Key', {
      description: `Alarms of ${name}`,
      enableKeyRotation: true,
      pendingWindow: Duration.days(7),
      removalPolicy: RemovalPolicy.DESTROY,
    });
    key.addToResourcePolicy(
      new iam.PolicyStatement({
        sid: 'Alarms',
        principals: [new iam.ServicePrincipal('cloudwatch.amazonaws.com')],
        actions: ['kms:Decrypt', 'kms:GenerateDataKey*'],
        resources: ['*'],
        conditions: { StringEquals: { 'aws:SourceAccount': Stack.of(this).account } },
      }),
    );
    return new sns.Topic(this, 'Topic', { topicName: `${name}-alarms`, masterKey: key });
  }
}
