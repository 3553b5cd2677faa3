// Who may import whom: read by `npm run check` and by test/architecture/, which proves that each rule bites.
// TypeScript 7 has no API that dependency-cruiser knows: without the swc parser it cruises nothing and says all is well.

/** Folders by rank: an import goes to the same rank or downward. */
export const ranks = ['journal', 'projections', 'queries', 'src'];

/** Modules that nothing imports because something else starts them: processes, workers, the page's script. */
export const entryPoints = [
  '^src/main\\.ts$',
  '(^|/)(worker|segment-process)/main\\.ts$',
  '^bench/',
  '^test/',
  '^src/client/index\\.ts$',
];

const upward = ranks.slice(0, -1).map((folder, rank) => ({
  name: `downward-only-${folder}`,
  severity: 'error',
  from: { path: `^${folder}/` },
  to: { path: `^(${ranks.slice(rank + 1).join('|')})/` },
}));

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    ...upward,
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'no-orphans',
      severity: 'error',
      from: { orphan: true, path: `^(${ranks.join('|')})/`, pathNot: entryPoints },
      to: {},
    },
    {
      name: 'no-unreachable',
      comment: 'Only a test knows it: dead code with a witness',
      severity: 'error',
      from: { path: ['/index\\.ts$', '/main\\.ts$'], pathNot: '^(test|bench)/' },
      to: { path: `^(${ranks.join('|')})/`, pathNot: entryPoints, reachable: false },
    },
    {
      name: 'product-needs-no-tests',
      severity: 'error',
      from: { path: `^(${ranks.join('|')})/` },
      to: { path: '^(test|bench|scripts|bin)/' },
    },
    {
      name: 'product-needs-no-development-dependency',
      severity: 'error',
      from: { path: `^(${ranks.join('|')})/` },
      to: { dependencyTypes: ['npm-dev'], pathNot: '^node_modules/@types/' },
    },
    {
      name: 'everything-resolves',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    parser: 'swc',
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^data/' },
    enhancedResolveOptions: {
      extensions: ['.ts', '.mjs', '.js', '.json'],
      conditionNames: ['import', 'node', 'default'],
      exportsFields: ['exports'],
    },
  },
};
