// One test file, so that each source is parsed once; what it imports registers the tests of its subject.
import './layers.ts';
import './dependencies.ts';
import './sources.ts';
import './catalogues.ts';
import './environment.ts';
import './docs.ts';
