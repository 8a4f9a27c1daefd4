/* A JVM inside a C program: its threads are lost, and the child asks for a collection. */
#include <dlfcn.h>
#include <jni.h>

#include "kinds.h"

static JNIEnv* env;

static void collect(void) {
  jclass system = (*env)->FindClass(env, "java/lang/System");
  (*env)->CallStaticVoidMethod(env, system, (*env)->GetStaticMethodID(env, system, "gc", "()V"));
}

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  void* library = dlopen(argv[1], RTLD_NOW);
  if (!library) give_up(dlerror());
  jint (*create)(JavaVM**, void**, void*) =
      (jint(*)(JavaVM**, void**, void*))dlsym(library, "JNI_CreateJavaVM");
  JavaVM* vm;
  JavaVMOption option = {(char*)"-Xmx64m", NULL};
  JavaVMInitArgs arguments = {JNI_VERSION_1_8, 1, &option, JNI_FALSE};
  prepare();
  if (create(&vm, (void**)&env, &arguments) != JNI_OK) give_up("no JVM");
  collect();
  return fork_and(collect);
}
