/* A C++ library that needs libstdc++, as its compilers write it: the initialiser of a static object
 * ends with a jump to __cxa_guard_release, whose return address is in the loader. */
        .text
initialise:
        subq $8, %rsp
        leaq guard(%rip), %rdi
        call __cxa_guard_acquire@PLT
        addq $8, %rsp
        testl %eax, %eax
        je 1f
        leaq guard(%rip), %rdi
        jmp __cxa_guard_release@PLT
1:      ret

        .globl initialised
        .type initialised, @function
initialised:
        movzbl guard(%rip), %eax
        ret
        .size initialised, .-initialised

        .local guard
        .comm guard, 8, 8
        .section .init_array, "aw"
        .quad initialise
        .section .note.GNU-stack, "", @progbits
