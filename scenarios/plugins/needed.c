// What plugin.c needs.
int forkscope_needed(void);

int forkscope_needed(void) { return 0; }
