/* Built twice: the library that is needed, and one that needs it (NEEDS_IT). */
int fault_needed(void);
int fault_plugin(void);

#ifdef NEEDS_IT
int fault_plugin(void) { return fault_needed(); }
#else
int fault_needed(void) { return 1; }
#endif
