// The library that the scenario loader loads. It needs another, which the loader opens only after
// it has begun to change its list of objects.
int forkscope_needed(void);
int forkscope_plugin(void);

int forkscope_plugin(void) { return forkscope_needed(); }
