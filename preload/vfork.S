# vfork: parent and child return from the same frame, so no C function may stand between the caller
# and the system call (its frame would be gone, overwritten by the child). Note the call, then make
# it, or jump to the vfork of another library: the return address on top of the stack stays the
# caller's.
#include <sys/syscall.h>

#include "clone_here.inc"

        .text
        .globl  vfork, __vfork
        .type   vfork, @function
        .type   __vfork, @function
        .p2align 4
vfork:
__vfork:
        .cfi_startproc
        endbr64
        movq    (%rsp), %rdi
        subq    $8, %rsp
        .cfi_adjust_cfa_offset 8
        call    forkscope_before_vfork
        addq    $8, %rsp
        .cfi_adjust_cfa_offset -8
        testl   %eax, %eax
        jz      2f
        js      3f
        movl    $SYS_vfork, %eax
        CLONE_HERE 0
2:      jmp     *forkscope_real_vfork(%rip)
3:      ret                                     # -1: asked to fail (forkscope run --inject)
        .cfi_endproc
        .size   vfork, .-vfork
        .size   __vfork, .-__vfork
        .section .note.GNU-stack, "", @progbits
