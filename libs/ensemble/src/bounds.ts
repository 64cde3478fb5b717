/** Steps of an ensemble; each is a turn of the scheduler and perhaps a model in memory. */
export const STEPS_MAX = 32;
/** Steps that wait for each other in a row: what a request waits for at least. */
export const DEPTH_MAX = 16;
/** Inputs or outputs of an ensemble or of a step. */
export const TENSORS_MAX = 64;
/** Elements of one row of any tensor between steps (64 MiB of float32). */
export const ROW_ELEMENTS_MAX = 16 * 1024 * 1024;
/** Memory of what one built-in step makes of fewer bytes (bytes). */
export const STEP_BYTES_MAX = 64 * 1024 * 1024;
/** Axes of a tensor between steps. */
export const AXES_MAX = 8;
/** Numbers in one parameter of a built-in step. */
export const NUMBERS_MAX = 65_536;
/** Labels of a label map, and characters of each. */
export const LABELS_MAX = 10_000;
export const LABEL_LENGTH_MAX = 1_000;
/** Bytes of the file that describes an ensemble. */
export const ENSEMBLE_BYTES_MAX = 4 * 1024 * 1024;
