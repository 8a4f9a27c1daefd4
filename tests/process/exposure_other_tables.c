/* A preload library of another version, as far as `forkscope exposure` can see. */
struct tables {
  char magic[8];
  unsigned version, layout;
  const void *chunks, *used, *pid, *generation;
};
const struct tables forkscope_held_tables = {"FKSHELD", 4000000000u, 1, 0, 0, 0, 0};
