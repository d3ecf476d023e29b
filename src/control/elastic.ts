/** What the use cases need of a running VM's memory that can follow its instances. */

/** One instance's share. */
export interface Grant {
  readonly memMiB: number;
  /** The guest's NUMA nodes that the instance is bound to; absent: anywhere. */
  readonly nodes?: readonly number[];
  /** The instance is gone. */
  release(): Promise<void>;
}

/** The memory of one running VM. */
export interface ElasticMemory {
  /** Undefined: an instance of `memMiB` fits now; else why not, in words. */
  fits(memMiB: number): string | undefined;
  /** Makes room for one instance. @throws SparklerError */
  grow(memMiB: number): Promise<Grant>;
  /**
   * What the guest may come to use as it is now, MiB: its base and what was granted. Absent: all of
   * the VM's memory, however many instances there are.
   */
  readonly promisedMiB?: number;
}
