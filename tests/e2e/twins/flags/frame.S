        .section .note.GNU-stack, "", %progbits
        .text
        .globl  nothing
        .type   nothing, %function
nothing:
        nop
        .size   nothing, . - nothing
