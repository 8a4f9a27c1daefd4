# A library with a vfork of its own, preloaded after libforkscope.so: what comes next is not libc's.
#include <sys/syscall.h>

        .text
        .globl  vfork
        .type   vfork, @function
vfork:
        .cfi_startproc
        popq    %rdi
        .cfi_adjust_cfa_offset -8
        .cfi_register %rip, %rdi
        movl    $SYS_vfork, %eax
        syscall
        pushq   %rdi
        .cfi_adjust_cfa_offset 8
        cmpl    $-4095, %eax
        jae     1f
        ret
1:      orq     $-1, %rax
        ret
        .cfi_endproc
        .size   vfork, .-vfork
        .section .note.GNU-stack, "", @progbits
