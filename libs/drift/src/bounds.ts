/** Bins of a numeric feature unless asked otherwise: deciles. */
export const BINS_DEFAULT = 10;
/** Most bins that can be asked for; values that repeat a lot may add as many again. */
export const BINS_MAX = 32;
/** Categories with a count of their own; the rest counts together as other. */
export const CATEGORIES_MAX = 64;
/** Characters of a category with a count of its own; a longer text counts as other. */
export const CATEGORY_LENGTH_MAX = 256;
/** Rows that a reference is made of (8 MiB of float64 for each feature). */
export const REFERENCE_ROWS_MAX = 1_000_000;
/** Features of a reference. */
export const FEATURES_MAX = 512;
/** Characters in the name of a feature. */
export const FEATURE_NAME_LENGTH_MAX = 255;
/** Equal steps between the quantiles that a reference keeps of each numeric feature. */
export const GRID_STEPS = 256;
/** Rows, of the reference and of the window, under which nothing is decided. */
export const SIZE_MIN = 50;
/** Largest number, either way, that counts as one: a million of its squares can still be added. */
export const MAGNITUDE_MAX = 1e150;
