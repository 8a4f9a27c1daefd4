// A library whose constructor takes its time: the scenario loader stops it there.
void forkscope_in_constructor(void) __attribute__((weak));
int forkscope_made(void);

static int made = 0;

__attribute__((constructor)) static void make(void) {
  if (forkscope_in_constructor) forkscope_in_constructor();
  made = 1;
}

/// Whether the constructor has come to its end.
int forkscope_made(void) { return made; }
