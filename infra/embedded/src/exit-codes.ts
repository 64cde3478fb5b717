/** Exit status of a process whose configuration is wrong (EX_CONFIG of sysexits.h); starting it again is no help. */
export const EXIT_CONFIG = 78;
