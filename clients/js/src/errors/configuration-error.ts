/* What a developer must mend before anything can work: a missing key, a wrong port. */
export class PusherConfigurationError extends Error {
  override readonly name = 'PusherConfigurationError';
}
