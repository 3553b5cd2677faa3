/** A process of ours that runs. */
export type Service = {
  url: string;
  /** The operator key, where this start made one: it is kept nowhere. */
  newOperatorKey: string | undefined;
  /** Finishes open requests and what is under way, lets go of the data directory. */
  stop(): Promise<void>;
};
