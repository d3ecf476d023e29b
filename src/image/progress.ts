/** Told what a build does: a step in words, and what of. */
export type Progress = (step: string, detail?: string) => void;
