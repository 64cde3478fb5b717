import type { LiveStage, Policy, PolicySpec, Stage } from '@millrace/contracts';
import { openPolicy } from '@millrace/contracts';

/** Where the policy in force was set; `none` when nobody set one. */
export type PolicySource = 'model' | 'tenant' | 'none';

/** The policy in force for a model. */
export type PolicyInForce = { readonly policy: Policy; readonly source: PolicySource };

/** A policy as it was set, with everything that was left out as in `openPolicy`. */
export function wholePolicy(spec: PolicySpec | null | undefined): Policy {
  if (spec === null || spec === undefined) return openPolicy;
  const whole = { ...openPolicy, ...spec };
  return {
    ...whole,
    approvalsRequired: { ...openPolicy.approvalsRequired, ...spec.approvalsRequired },
    allowList: { ...openPolicy.allowList, ...spec.allowList },
    protectedAliases: [...whole.protectedAliases],
    servableStages: [...whole.servableStages],
  };
}

export function isLive(stage: Stage): stage is LiveStage {
  return stage !== 'archived';
}

/** Whether a text fits a pattern in which `*` stands for any characters; linear in both but for one step back. */
export function matchesPattern(pattern: string, text: string): boolean {
  let p = 0;
  let star = -1;
  let resumeAt = 0;
  for (let t = 0; t < text.length; ) {
    if (pattern[p] === '*') {
      star = p;
      resumeAt = t;
      p += 1;
    } else if (p < pattern.length && pattern[p] === text[t]) {
      p += 1;
      t += 1;
    } else if (star >= 0) {
      resumeAt += 1;
      t = resumeAt;
      p = star + 1;
    } else return false;
  }
  while (pattern[p] === '*') p += 1;
  return p === pattern.length;
}

/** Whether a policy protects an alias. */
export function isProtected({ protectedAliases }: Policy, alias: string): boolean {
  return protectedAliases.some((pattern) => matchesPattern(pattern, alias));
}
