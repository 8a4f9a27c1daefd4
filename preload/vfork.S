# vfork: parent and child return from the same frame, so no C function may stand between the caller
# and the system call (its frame would be gone, overwritten by the child). Note the call, then jump:
# the return address on top of the stack stays the caller's.
        .text
        .globl  vfork
        .type   vfork, @function
        .p2align 4
vfork:
        .cfi_startproc
        endbr64
        movq    (%rsp), %rdi
        subq    $8, %rsp
        .cfi_adjust_cfa_offset 8
        call    forkscope_before_vfork
        addq    $8, %rsp
        .cfi_adjust_cfa_offset -8
        jmp     *forkscope_real_vfork(%rip)
        .cfi_endproc
        .size   vfork, .-vfork
        .section .note.GNU-stack, "", @progbits
