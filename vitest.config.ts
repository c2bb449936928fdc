import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['__test__/**/*.test.ts'],
    globalSetup: ['__test__/support/build.ts'],
    // Native code in a process of its own: a crash ends one file, and environments are torn down as in real programs.
    pool: 'forks',
    // Tests of finalizers call the collector.
    execArgv: ['--expose-gc'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    typecheck: { enabled: true, include: ['__test__/**/*.test-d.ts'], tsconfig: 'tsconfig.json' },
  },
});
