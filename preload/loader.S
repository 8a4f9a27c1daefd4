# dlopen and dlmopen: the loader looks at its caller's address (RUNPATH, $ORIGIN, the namespace), so
# the return address must stay the program's. Note the call, then jump. The pushes keep the
# arguments and align the stack.
        .macro  forkscope_load name, before, real
        .globl  \name
        .type   \name, @function
        .p2align 4
\name:
        .cfi_startproc
        endbr64
        pushq   %rdi
        .cfi_adjust_cfa_offset 8
        pushq   %rsi
        .cfi_adjust_cfa_offset 8
        pushq   %rdx
        .cfi_adjust_cfa_offset 8
        movq    24(%rsp), %rdi
        call    \before
        popq    %rdx
        .cfi_adjust_cfa_offset -8
        popq    %rsi
        .cfi_adjust_cfa_offset -8
        popq    %rdi
        .cfi_adjust_cfa_offset -8
        jmp     *\real(%rip)
        .cfi_endproc
        .size   \name, .-\name
        .endm

        .text
        forkscope_load dlopen, forkscope_before_dlopen, forkscope_real_dlopen
        forkscope_load dlmopen, forkscope_before_dlmopen, forkscope_real_dlmopen
        .section .note.GNU-stack, "", @progbits
