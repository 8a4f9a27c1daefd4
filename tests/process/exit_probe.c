/* For a second libc: `exit_probe exit N` exits with N. */
#include <stdlib.h>

int main(int argc, char** argv) { return argc > 2 ? atoi(argv[2]) : 0; }
