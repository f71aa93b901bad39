/**
 * The Network Load Balancer: it terminates TLS, and sends the addresses of clients to the tasks in PROXY headers.
 *
 * A task that stops answers /readyz with 503 and disconnects its clients one after the other. By default a load balancer would cut
 * all of them at once as soon as it notices; three attributes of the target group prevent that.
 */
import { Tags } from 'aws-cdk-lib';
import * as acm from 'aws-cdk-lib/aws-certificatemanager';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as elb from 'aws-cdk-lib/aws-elasticloadbalancingv2';
import * as route53 from 'aws-cdk-lib/aws-route53';
import { Construct } from 'constructs';
import type { Drain } from '../connections';
import type { Domain } from '../inputs';
import { suppress } from '../nag';
import { check } from './check';
import { accessLogs } from './logs';
import { targetGroup } from './target-group';

export interface EdgeProps {
  /** Name of the load balancer, such as `realtime`. */
  readonly name: string;
  readonly vpc: ec2.IVpc;
  /** Public subnets, one in each zone. */
  readonly subnets: ec2.ISubnet[];
  /** Addresses that the tasks may have. */
  readonly targetCidrs: string[];
  /** The name of the server, and the id of the zone in Route 53 that it belongs to. */
  readonly domain: Domain;
  /** Whether the name leads to this load balancer. False behind an accelerator, which has the name then. */
  readonly hasRecord?: boolean;
  /** The port of the tasks. */
  readonly port?: number;
  readonly drain?: Drain;
  /** Seconds between two checks of a task, and how many of them must fail. */
  readonly healthCheck?: HealthCheck;
  /** Seconds from the deregistration of a task until ECS stops it. */
  readonly deregistrationDelay?: number;
  /** Whether the load balancer can only be deleted after this is false. */
  readonly deletionProtection?: boolean;
  /** Days that access logs are kept. */
  readonly logRetentionDays?: number;
}

export interface HealthCheck {
  readonly interval: number;
  readonly unhealthyThreshold: number;
}

export class Edge extends Construct {
  /** Where tasks are registered. ECS refuses it until the listener is there (`loadBalancerAttached`). */
  readonly targetGroup: elb.NetworkTargetGroup;
  /** The group of the load balancer, from which tasks accept connections. */
  readonly securityGroup: ec2.SecurityGroup;
  /** The load balancer, for an accelerator in front of it. */
  readonly loadBalancer: elb.NetworkLoadBalancer;
  /** The address of clients. */
  readonly endpoint: string;

  constructor(scope: Construct, id: string, props: EdgeProps) {
    super(scope, id);
    check(props);
    const port = props.port ?? 8080;
    this.endpoint = `wss://${props.domain.name}/realtime/v1`;
    this.securityGroup = this.group(props, port);
    this.targetGroup = targetGroup(this, { ...props, port });
    this.loadBalancer = new elb.NetworkLoadBalancer(this, 'LoadBalancer', {
      loadBalancerName: props.name,
      vpc: props.vpc,
      vpcSubnets: { subnets: props.subnets },
      internetFacing: true,
      securityGroups: [this.securityGroup],
      crossZoneEnabled: true,
      deletionProtection: props.deletionProtection ?? true,
    });
    accessLogs(this, this.loadBalancer, props.logRetentionDays ?? 30);
    this.listen(props.domain);
    if (props.hasRecord ?? true) this.addRecord(props.domain);
  }

  /** Load balancer and target group as their metrics name them, for alarms. */
  get monitored(): { readonly loadBalancer: string; readonly targetGroup: string } {
    return { loadBalancer: this.loadBalancer.loadBalancerFullName, targetGroup: this.targetGroup.targetGroupFullName };
  }

  /** The idle time-out of a TLS listener is 350 seconds and cannot be changed. The server pings more often (lib/service). */
  private listen(domain: Domain): void {
    // AWS renews it, with a record that CloudFormation makes.
    const certificate = new acm.Certificate(this, 'Certificate', {
      domainName: domain.name,
      validation: acm.CertificateValidation.fromDns(route53.HostedZone.fromHostedZoneId(this, 'Zone', domain.zoneId)),
    });
    this.loadBalancer.addListener('Tls', {
      port: 443,
      protocol: elb.Protocol.TLS,
      // ELBSecurityPolicy-TLS13-1-2-2021-06
      sslPolicy: elb.SslPolicy.RECOMMENDED_TLS,
      certificates: [certificate],
      // WebSocket handshakes are HTTP/1.1.
      alpnPolicy: elb.AlpnPolicy.HTTP1_ONLY,
      defaultTargetGroups: [this.targetGroup],
    });
  }

  private addRecord(domain: Domain): void {
    new route53.CfnRecordSet(this, 'Record', {
      hostedZoneId: domain.zoneId,
      name: domain.name,
      type: 'A',
      aliasTarget: {
        dnsName: this.loadBalancer.loadBalancerDnsName,
        hostedZoneId: this.loadBalancer.loadBalancerCanonicalHostedZoneId,
        evaluateTargetHealth: true,
      },
    });
  }

  private group(props: EdgeProps, port: number): ec2.SecurityGroup {
    const group = new ec2.SecurityGroup(this, 'SecurityGroup', {
      vpc: props.vpc,
      description: `The load balancer of ${props.name}`,
      allowAllOutbound: false,
    });
    Tags.of(group).add('Name', `${props.name}-edge`);
    group.addIngressRule(ec2.Peer.anyIpv4(), ec2.Port.tcp(443), 'Clients, from everywhere');
    suppress(group, 'AwsSolutions-EC23', 'Clients are everywhere, and reach the port with TLS alone.');
    for (const cidr of props.targetCidrs) group.addEgressRule(ec2.Peer.ipv4(cidr), ec2.Port.tcp(port), `Tasks in ${cidr}`);
    return group;
  }
}
