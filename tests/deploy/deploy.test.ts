// One test file, so that everything is rendered once; what it imports registers the tests of its subject.
import './chart-rules.ts';
import './schemas.ts';
import './policies.ts';
import './network.ts';
import './variables.ts';
import './kustomize.ts';
import './observability.ts';
import './workflows.ts';
