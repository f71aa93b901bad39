/** What cdk-nag says of the whole app, and that no rule is suppressed for nothing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Aspects, CfnResource, Stack, type App } from 'aws-cdk-lib';
import { AwsSolutionsChecks, type INagLogger, type NagLoggerErrorData, type NagLoggerNonComplianceData } from 'cdk-nag';
import { app } from './stacks';

/** The findings, each as a rule and a resource. */
class Findings implements INagLogger {
  readonly open: string[] = [];
  readonly suppressed = new Set<string>();
  onCompliance(): void {}
  onNotApplicable(): void {}
  onNonCompliance(data: NagLoggerNonComplianceData): void {
    this.open.push(`${data.ruleId} ${data.resource.node.path}`);
  }
  onError(data: NagLoggerErrorData): void {
    this.open.push(`${data.ruleId} ${data.resource.node.path}: ${data.errorMessage}`);
  }
  onSuppressed(data: NagLoggerNonComplianceData): void {
    this.suppressed.add(`${data.ruleId} ${data.resource.node.path}`);
  }
  onSuppressedError(data: NagLoggerErrorData): void {
    this.onError(data);
  }
}

/** The suppressions of all resources, each as a rule and a resource. */
function suppressions(made: App): string[] {
  const stacks = made.node.children.filter((child) => child instanceof Stack);
  return stacks
    .flatMap((stack) => stack.node.findAll())
    .filter((construct) => construct instanceof CfnResource)
    .flatMap((resource) => {
      const metadata: { rules_to_suppress?: { id: string; reason: string }[] } = resource.getMetadata('cdk_nag') ?? {};
      return (metadata.rules_to_suppress ?? []).map(({ id }) => `${id} ${resource.node.path}`);
    });
}

test('cdk-nag finds nothing but what is suppressed, and each suppression is used', () => {
  const made = app();
  const findings = new Findings();
  Aspects.of(made).add(new AwsSolutionsChecks({ reports: false, additionalLoggers: [findings] }));
  made.synth();
  assert.deepEqual(findings.open, []);
  const stated = suppressions(made);
  assert.ok(stated.length > 0);
  assert.deepEqual(
    stated.filter((each) => !findings.suppressed.has(each)),
    [],
  );
});
