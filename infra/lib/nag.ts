/** Rules of cdk-nag that do not apply to a resource, each with its reason. */
import { NagSuppressions } from 'cdk-nag';
import type { IConstruct } from 'constructs';

/** Marks a rule as not applying to a resource. What is below the construct is meant as well. */
export function suppress(construct: IConstruct, id: string, reason: string): void {
  NagSuppressions.addResourceSuppressions(construct, [{ id, reason }]);
}
